// Package costs measures what the small things cost on this machine: a system
// call, a goroutine, a copy, a connection. The workbook's arithmetic stands on
// these figures.
//
// Each cost is CPU time of this process for one operation, so that other work on
// the machine hardly shows; the last group is elapsed time and bytes, because
// that is what matters there.
package costs

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// A Cost is one row of the table.
type Cost struct {
	Group string
	Name  string
	Unit  Unit
	Note  string // what it tells

	// run does the operation n times. It returns what was measured where that
	// is not CPU time: the sum for all n.
	run func(n int) (sum float64, err error)
}

// Unit is what a cost is counted in.
type Unit string

// The units of figures.
const (
	CPU     Unit = "ns"    // CPU nanoseconds
	Elapsed Unit = "µs"    // elapsed microseconds
	Memory  Unit = "bytes" // of this process
)

// A Figure is a cost as it was measured: the median of the rounds, and the
// smallest and the largest.
type Figure struct {
	Group  string  `json:"group"`
	Name   string  `json:"name"`
	Unit   Unit    `json:"unit"`
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	Note   string  `json:"note"`
}

const (
	rounds = 5
	round  = 40 * time.Millisecond // of work in one
)

// Measure measures every cost in its turn, and tells each before it begins. It
// ends early, with the context's error, when ctx ends.
func Measure(ctx context.Context, tell func(i, of int, name string)) ([]Figure, error) {
	var all []Figure
	for i, c := range table {
		tell(i, len(table), c.Name)
		f, err := c.measure(ctx)
		if err != nil {
			return all, fmt.Errorf("measure %q: %w", c.Name, err)
		}
		all = append(all, f)
	}
	return all, nil
}

func (c Cost) measure(ctx context.Context) (Figure, error) {
	n, err := c.calibrate(ctx)
	if err != nil {
		return Figure{}, err
	}
	var figures []float64
	for range rounds {
		if err := ctx.Err(); err != nil {
			return Figure{}, err
		}
		figure, err := c.once(n)
		if err != nil {
			return Figure{}, err
		}
		figures = append(figures, figure)
	}
	slices.Sort(figures)
	return Figure{Group: c.Group, Name: c.Name, Unit: c.Unit, Note: c.Note,
		Median: figures[rounds/2], Low: figures[0], High: figures[rounds-1]}, nil
}

// calibrate finds how many operations fill a round.
func (c Cost) calibrate(ctx context.Context) (n int, err error) {
	for n = 1; ; n *= 4 {
		began := time.Now()
		if _, err := c.once(n); err != nil {
			return 0, err
		}
		if took := time.Since(began); took > round/4 {
			return max(1, int(float64(n)*float64(round)/float64(took))), ctx.Err()
		}
	}
}

// once does n operations, and returns what one of them cost.
func (c Cost) once(n int) (float64, error) {
	began := cpu()
	sum, err := c.run(n)
	if c.Unit == CPU {
		sum = float64(cpu() - began)
	}
	return sum / float64(n), err
}

// cpu is what this process has used, in user and system mode.
func cpu() time.Duration {
	var t unix.Timespec
	unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t)
	return time.Duration(t.Nano())
}
