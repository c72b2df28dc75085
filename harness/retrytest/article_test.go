package retrytest

import (
	"context"
	"sync"
)

// naive is the retry loop that everybody writes first, around a client that knows
// nothing of retries: three tries, at once, of everything that has failed. The
// article promises retries and shows none; this is what its readers write.
type naive struct {
	*vclient
	o       Options
	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup
}

func newNaive(o Options) (client, error) {
	once := o
	once.Attempts, once.AttemptTimeout, once.HedgeQuantile, once.RetryReserve = 1, 0, 0, 0
	v, err := newVclient("the article", once)
	if err != nil {
		return nil, err
	}
	n := &naive{vclient: v, o: o}
	n.ctx, n.stop = context.WithCancel(context.Background())
	return n, nil
}

func (n *naive) Go(r Request) Future {
	x := &vcall{c: n.vclient, req: r, done: make(chan struct{})}
	if n.o.AttemptTimeout > 0 {
		r.Timeout = n.o.AttemptTimeout
	}
	f := n.vclient.Go(r)
	n.running.Go(func() {
		body, err := f.Wait(n.ctx)
		for try := 1; err != nil && try < 3; try++ {
			body, err = n.vclient.Go(r).Wait(n.ctx)
		}
		n.do(func() { n.tell(x, body, err) })
	})
	return x
}

func (n *naive) Do(ctx context.Context, r Request) ([]byte, error) { return n.Go(r).Wait(ctx) }

func (n *naive) Close() error {
	n.stop()
	n.vclient.Close()
	n.running.Wait()
	return nil
}

var naiveLab = func() lab {
	l := variantLab("the article")
	l.New = newNaive
	return l
}()
