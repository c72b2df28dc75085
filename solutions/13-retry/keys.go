package retry

import "time"

// keys remembers calls by their idempotency key: those under way, which
// MaxRunning and MaxWaiting bound, and those that are done, up to a number and an
// age. It belongs to the loop's goroutine.
type keys struct {
	jobs map[string]*job
	done []*job // of jobs, the oldest first
	most int    // of done
	age  time.Duration
}

// find returns the call that key was used for, nil if there is none or it is
// forgotten.
func (k *keys) find(key string, now time.Time) *job {
	k.expire(now)
	return k.jobs[key]
}

// finished keeps a call's answer, or forgets the call.
func (k *keys) finished(j *job, keep bool) {
	if !keep {
		delete(k.jobs, j.key)
		return
	}
	k.done = append(k.done, j)
	k.expire(j.doneAt)
}

// expire forgets what is too old or too much. Both go from the front: what was
// done first is the oldest.
func (k *keys) expire(now time.Time) {
	for len(k.done) > k.most || len(k.done) > 0 && now.Sub(k.done[0].doneAt) >= k.age {
		delete(k.jobs, k.done[0].key)
		k.done[0] = nil
		k.done = k.done[1:]
	}
}
