package backpressuretest

import (
	"context"
	"fmt"
	"testing/synctest"

	"github.com/asynclab/asynclab/harness/spec"
)

const (
	creditSection = "Step 8: credit, the sender's half"
	maxCredit     = 1<<31 - 1
)

var creditRules = []spec.Rule[lab]{
	{
		Name: "CreditIsSpentOnce", Group: "credit", Points: 3, Section: creditSection, Deadline: soon,
		Why: "Credit is the receiver's memory, lent in advance. What is sent without it, or twice on the same credit, finds no room there; what is not given on when it comes leaves senders asleep with room to spare.",
		Hints: [3]string{
			"When does Acquire wait, and who ends that?",
			"Take n if it is there and nobody waits; otherwise line up. Grant adds, then serves the line from its begin while the first one's want is covered.",
			"for len(waiting) > 0 && waiting[0].want <= left { t := waiting[0]; waiting = waiting[1:]; left -= t.want; close(t.done) }",
		},
		Check: creditIsSpentOnce,
	},
	{
		Name: "CreditIsFair", Group: "credit", Points: 3, Section: creditSection, Deadline: soon,
		Why: "A large frame waits for much credit. If small ones pass it, each takes what would have gone to it, and it waits for as long as they come. And when one gives up, those behind it must not wait for its share.",
		Hints: [3]string{
			"There are 3 left; the first wants 5, and somebody asks for 1. What do you answer?",
			"Nobody is served before the first. Who leaves the line by its context makes the next one first: serve again.",
			"take: if len(waiting) > 0 || n > left { return false }; giveUp: remove t, then serve().",
		},
		Check: creditIsFair,
	},
	{
		Name: "OverflowIsRefused", Group: "credit", Points: 2, Section: creditSection, Deadline: soon,
		Why: "A grant comes from the network: it can be wrong, or hostile. A sum that overflows is a negative credit, or an endless one. RFC 9113, section 6.9.1, makes it an error that ends the connection.",
		Hints: [3]string{
			"What is 2^31-1, plus 1?",
			"Compare before adding, and change nothing when you refuse.",
			"if n < 1 { return error }; if n > MaxCredit - left { return ErrOverflow }",
		},
		Check: overflowIsRefused,
	},
}

// bank is a Credit in a bubble, told as a scene without a channel.
func bank(r *spec.Run, l lab, initial int) (*scene, Credit) {
	s := &scene{r: r, l: l}
	c, err := l.NewCredit(initial)
	if err != nil {
		s.fail("NewCredit to make a credit", "it returned: %v", err)
	}
	s.judged = noChannel{}
	return s, c
}

// noChannel is there for the words of a failure.
type noChannel struct{ judged }

func (noChannel) Stats() Stats { return Stats{} }

func (s *scene) acquires(c Credit, n int) *call {
	return s.start(fmt.Sprintf("Acquire(%d)", n), func(ctx context.Context) ([]int, error) { return nil, c.Acquire(ctx, n) })
}

func (s *scene) grants(c Credit, n int) {
	if s.err != nil {
		return
	}
	s.r.Step("Grant(%d)", n)
	if err := c.Grant(n); err != nil {
		s.fail(fmt.Sprintf("Grant(%d) to return nil", n), "it returned %s", s.l.name(err))
	}
}

func (s *scene) tries(c Credit, n int, want bool) {
	if s.err != nil {
		return
	}
	s.r.Step("TryAcquire(%d)", n)
	if got := c.TryAcquire(n); got != want {
		s.fail(fmt.Sprintf("TryAcquire(%d) to return %v", n, want), "it returned %v, with %d left", got, c.Available())
	}
}

func (s *scene) left(c Credit, want int) {
	if s.err == nil && c.Available() != want {
		s.fail(fmt.Sprintf("%d to be left", want), "Available is %d", c.Available())
	}
}

func creditIsSpentOnce(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		s, c := bank(r, l, 10)
		s.ends(nil, s.acquires(c, 4))
		s.tries(c, 7, false)
		s.left(c, 6)
		s.tries(c, 6, true)
		s.tries(c, 1, false)
		a := s.acquires(c, 3)
		b := s.acquires(c, 2)
		s.waits(a, b)
		s.grants(c, 2)
		s.waits(a, b)
		s.grants(c, 4)
		s.ends(nil, a, b)
		s.left(c, 1)
		s.tries(c, 0, false)
		s.tries(c, -1, false)
		s.left(c, 1)
		for _, n := range []int{0, -1, maxCredit + 1} {
			if s.err == nil && c.Acquire(r.Context(), n) == nil {
				s.fail(fmt.Sprintf("Acquire(%d) to return an error", n), "it returned nil")
			}
		}
		a = s.acquires(c, 2)
		s.waits(a)
		if s.err == nil {
			r.Step("Close")
			c.Close()
			c.Close()
			s.ends(l.Closed, a, s.acquires(c, 1))
			s.tries(c, 1, false)
			s.grants(c, 3)
			s.left(c, 1)
		}
		if s.err != nil {
			return s.err
		}
		if err := grantMeetsCancel(r, l); err != nil {
			return err
		}
		return creditIsConserved(r, l)
	})
}

// grantMeetsCancel has a grant come and a context end at the same time, in both
// orders, often enough for a select to choose wrongly.
func grantMeetsCancel(r *spec.Run, l lab) error {
	s, c := bank(r, l, 0)
	r.Step("100 times: Acquire(1) waits; Grant(1) and cancel, with nothing between")
	for i := 0; i < 100 && s.err == nil; i++ {
		a := begin(r, "Acquire(1)", func(ctx context.Context) ([]int, error) { return nil, c.Acquire(ctx, 1) })
		s.waits(a)
		if i%2 == 0 {
			a.cancel()
		}
		c.Grant(1)
		a.cancel()
		synctest.Wait()
		_, _, err := a.result()
		if err != nil && !c.TryAcquire(1) {
			s.fail("credit that Acquire has not taken to be there still", "Acquire returned %s, and %d are left", l.name(err), c.Available())
		}
		if left := c.Available(); left != 0 {
			s.fail("credit to be taken once", "Acquire returned %s, and %d are left", l.name(err), left)
		}
	}
	return s.err
}

// creditIsConserved takes and gives back from many goroutines.
func creditIsConserved(r *spec.Run, l lab) error {
	s, c := bank(r, l, 5)
	if s.err != nil {
		return s.err
	}
	r.Step("4 goroutines acquire 1 to 4 of 5 and grant them again, 500 times each; a fifth asks Available")
	wrong := make(chan int, 1)
	for n := 1; n <= 4; n++ {
		r.Go(func() error {
			for range 500 {
				if c.TryAcquire(n) || c.Acquire(r.Context(), n) == nil {
					c.Grant(n)
				}
			}
			return nil
		})
	}
	r.Go(func() error {
		for range 500 {
			if left := c.Available(); left < 0 || left > 5 {
				wrong <- left
				return nil
			}
		}
		return nil
	})
	synctest.Wait()
	if len(wrong) > 0 {
		return spec.Fail("0 to 5 to be left", "Available was %d", <-wrong)
	}
	s.left(c, 5)
	return s.err
}

func creditIsFair(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		s, c := bank(r, l, 3)
		large := s.acquires(c, 5)
		small := s.acquires(c, 1)
		s.waits(large, small)
		s.tries(c, 1, false)
		s.grants(c, 1)
		s.waits(large, small)
		s.left(c, 4)
		s.grants(c, 1)
		s.ends(nil, large)
		s.waits(small)
		s.grants(c, 1)
		s.ends(nil, small)
		s.left(c, 0)
		r.Step("the first gives up")
		large = s.acquires(c, 9)
		first := s.acquires(c, 2)
		second := s.acquires(c, 2)
		s.grants(c, 3)
		s.waits(large, first, second)
		large.cancel()
		s.ends(context.Canceled, large)
		s.ends(nil, first)
		s.waits(second)
		s.left(c, 1)
		second.cancel()
		s.ends(context.Canceled, second)
		s.left(c, 1)
		s.tries(c, 1, true)
		r.Step("Acquire with a context that has ended: it matters only to one who waits")
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		s.grants(c, 1)
		if s.err != nil {
			return s.err
		}
		if err := c.Acquire(ended, 1); err != nil {
			s.fail("Acquire to return nil: there is credit", "it returned %s", l.name(err))
		}
		late := s.start("Acquire(1) with a context that has ended", func(context.Context) ([]int, error) { return nil, c.Acquire(ended, 1) })
		s.ends(context.Canceled, late)
		return s.err
	})
}

func overflowIsRefused(r *spec.Run, l lab) error {
	for _, n := range []int{-1, maxCredit + 1} {
		if _, err := l.NewCredit(n); err == nil {
			return spec.Fail(fmt.Sprintf("NewCredit(%d) to be refused", n), "it returned no error")
		}
	}
	for _, n := range []int{0, maxCredit} {
		s, c := bank(r, l, n)
		if s.left(c, n); s.err != nil {
			return s.err
		}
	}
	s, c := bank(r, l, 1)
	s.grants(c, maxCredit-1)
	s.left(c, maxCredit)
	for _, n := range []int{1, maxCredit, 1<<63 - 1} {
		if s.err == nil {
			r.Step("Grant(%d)", n)
			if err := c.Grant(n); err != l.Overflow {
				s.fail(fmt.Sprintf("Grant(%d), with %d left, to return ErrOverflow", n, maxCredit), "it returned %s", l.name(err))
			}
		}
		s.left(c, maxCredit)
	}
	s.tries(c, 5, true)
	for _, n := range []int{0, -3} {
		if s.err == nil && c.Grant(n) == nil {
			s.fail(fmt.Sprintf("Grant(%d) to return an error", n), "it returned nil")
		}
	}
	s.grants(c, 5)
	s.left(c, maxCredit)
	return s.err
}
