package workerpooltest

import (
	"context"
	"sync"
)

// article is the article's pool, in our own code: a Go channel of tasks, twice
// as long as there are workers, which Stop closes. It has no futures, keys or
// counts; what it adds here is what a caller would have to write around it.
type article struct {
	*variant // for what the article does not have
	tasks    chan func()
	all      sync.WaitGroup
}

func newArticle(o Options) (judged, error) {
	v, err := newVariant(o, "")
	if err != nil {
		return nil, err
	}
	a := &article{variant: v.(*variant), tasks: make(chan func(), 2*max(1, o.Workers))}
	v.(*variant).Stop(context.Background()) // its workers are not the article's
	for range max(1, o.Workers) {
		a.all.Add(1)
		go func() {
			defer a.all.Done()
			for t := range a.tasks {
				t()
			}
		}()
	}
	return a, nil
}

func (a *article) Submit(_ context.Context, t Task) (Future, error) {
	f := &vfuture{p: a.variant, task: t, end: make(chan struct{})}
	a.tasks <- func() { f.resolve(t(context.Background())) }
	return f, nil
}

func (a *article) SubmitKeyed(ctx context.Context, _ string, t Task) (Future, error) {
	return a.Submit(ctx, t)
}

func (a *article) TrySubmit(t Task) (Future, error) { return a.Submit(context.Background(), t) }

func (a *article) Stop(context.Context) error {
	close(a.tasks)
	a.all.Wait()
	return nil
}

func (a *article) StopNow(ctx context.Context) error { return nil }

var articleLab = func() lab {
	l := variantLab("")
	l.New = newArticle
	return l
}()
