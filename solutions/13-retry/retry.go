package retry

import "time"

// What may be tried again, and when. Guarded by the client's mu, as all of this
// file.
//
//	what happened                          was it done?   again?
//	never left this process                no             yes, free: it is no retry
//	refused as busy                        no             yes
//	no answer in time, session lost        who knows      Safe or with a Key
//	connection lost, session resumed       who knows      yes, free: the server knows the id
//	the handler's own error                yes            no
//	the call's time was over               who knows      no
//
// Every "yes" that is not free needs a try that is left, time that is left, and a
// token of the budget; and then it waits for its backoff.

// again decides what becomes of f when an attempt of it is over without an
// answer, and was removed. Unless it was refused it may have been done, and no
// refusal of a later one makes that undone: the result says so.
func (c *Client) again(f *Future, why error) {
	if why != ErrBusy {
		f.doubt = why
	}
	if f.live[0] != nil {
		return // its other copy is still under way
	}
	may := f.doubt == nil || f.repeatable()
	if f.doubt != nil {
		why = f.doubt
	}
	f.failed = why
	if !may || f.tries >= c.o.Attempts {
		c.finish(f, nil, why)
		return
	}
	at := time.Now().Add(c.backoff.Delay(f.tries - 1))
	if !at.Before(f.until) {
		c.finish(f, nil, why) // it would be too late: say so now, and keep the token
		return
	}
	if !c.budget.Spend() {
		c.stats.Denied++
		c.finish(f, nil, why)
		return
	}
	c.ring(&f.next, alarm{kind: backoffOver, f: f}, at)
}

// retry makes the next attempt: its backoff is over.
func (c *Client) retry(f *Future) {
	f.tries++
	if !c.launch(f) {
		c.finish(f, nil, f.failed)
		return
	}
	c.stats.Retries++
}

// outOfPatience ends an attempt that was waited for long enough.
func (c *Client) outOfPatience(a *attempt) {
	f := a.f
	a.e.breaker.Failed(a.pass)
	c.giveUp(a)
	c.again(f, ErrTimeout) // only attempts of repeatable calls have a time
}

// answered acts on a reply. What nobody waits for, because it was given up or
// answered before, is dropped.
func (c *Client) answered(e *endpoint, id uint64, status byte, body []byte) error {
	a := e.byID[id]
	if a == nil {
		c.stats.Stray++
		return nil
	}
	f := a.f
	switch status {
	case statusDone, statusFailed:
		e.breaker.Succeeded(a.pass) // an error of its own is an answer
		c.remove(a)
		if c.latencies != nil {
			c.latencies.Observe(time.Since(f.began))
		}
		if status == statusFailed {
			c.finish(f, nil, &RemoteError{string(body)})
		} else {
			c.finish(f, append([]byte(nil), body...), nil)
		}
	case statusExpired:
		e.breaker.Failed(a.pass)
		c.remove(a)
		c.finish(f, nil, ErrTimeout)
	case statusBusy:
		e.breaker.Dropped(a.pass) // it is alive, and serves others
		c.remove(a)
		c.again(f, ErrBusy)
	case statusUnknown:
		e.breaker.Dropped(a.pass)
		c.remove(a)
		c.again(f, ErrUnknown)
	default:
		return errMalformed
	}
	return nil
}
