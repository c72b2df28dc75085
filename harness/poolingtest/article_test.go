package poolingtest

import "sync"

// article is the article's pool, in our own code: a sync.Pool of slices of 4 KiB.
// It has a size for all, no owners and no counts; what it adds here is what a
// caller would have to write around it.
type article struct {
	*variant // for what the article does not have
	pool     sync.Pool
}

type articleBuffer struct {
	*vbuffer
	a    *article
	data []byte
}

func newArticle(o Options) (Pool, error) {
	v, err := newVariant(o, "")
	if err != nil {
		return nil, err
	}
	return &article{variant: v.(*variant), pool: sync.Pool{New: func() any { return make([]byte, 4096) }}}, nil
}

func (a *article) Get(n int) Buffer {
	data := a.pool.Get().([]byte)
	return &articleBuffer{&vbuffer{p: a.variant}, a, data[:min(n, len(data))]}
}

func (b *articleBuffer) Bytes() []byte { return b.data }
func (b *articleBuffer) Cap() int      { return cap(b.data) }
func (b *articleBuffer) Resize(n int)  { b.data = b.data[:n] }
func (b *articleBuffer) Retain(int)    {}

// Release puts the slice back: as an interface, which is a new header on the
// heap each time, and as long as its last user has left it.
func (b *articleBuffer) Release() {
	//lint:ignore SA6002 this is the fault
	b.a.pool.Put(b.data)
}

var articleLab = func() lab {
	l := variantLab("")
	l.New = newArticle
	return l
}()
