//go:build !light

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/asynclab/asynclab/harness/claims"
	"github.com/asynclab/asynclab/harness/course"
	"github.com/asynclab/asynclab/harness/report"
)

// A claimStep is one measurement that claims are judged from. It may give the
// samples of several keys.
type claimStep struct {
	name string
	keys []string
	most int // rounds; 0 means as many as are asked for
	take func(ctx context.Context) (claims.Taken, error)
}

func (s claimStep) times(rounds int) int {
	if s.most > 0 {
		return min(s.most, rounds)
	}
	return rounds
}

// claimSteps lists the measurements that the chosen claims need, and builds what
// they run.
func (c clone) claimSteps(ctx context.Context, o claimOptions, chosen []claims.Claim, work string, s *screen) ([]claimStep, error) {
	var needed []string
	for _, claim := range chosen {
		for _, key := range claim.From {
			if !slices.Contains(needed, key) {
				needed = append(needed, key)
			}
		}
	}
	var steps []claimStep
	for _, own := range claims.Owns {
		steps = append(steps, claimStep{name: own.Name, keys: own.Keys, take: func(ctx context.Context) (claims.Taken, error) { return own.Take(ctx, o.quick) }})
	}
	targets, err := c.targetSteps(ctx, needed, work, s)
	if err != nil {
		return nil, err
	}
	servers, err := c.serverSteps(ctx, o, needed, work, s)
	if err != nil {
		return nil, err
	}
	steps = slices.Concat(steps, targets, servers)
	return slices.DeleteFunc(steps, func(step claimStep) bool {
		return !slices.ContainsFunc(step.keys, func(key string) bool { return slices.Contains(needed, key) })
	}), nil
}

// targetSteps are targets of the labs' judges, taken from the reference. Their
// keys are "NN target".
func (c clone) targetSteps(ctx context.Context, needed []string, work string, s *screen) ([]claimStep, error) {
	var steps []claimStep
	built := map[string]binary{}
	for _, key := range needed {
		id, target, _ := strings.Cut(key, " ")
		lab, err := course.Find(id)
		if err != nil {
			continue // a key of another kind
		}
		folder := lab.Path("solutions")
		b, ok := built[folder]
		if !ok {
			s.status("building %s", folder)
			if b, err = c.build(ctx, work, folder, false); err != nil {
				return nil, fmt.Errorf("build %s: %w", folder, err)
			}
			built[folder] = b
		}
		steps = append(steps, claimStep{name: "lab " + lab.Dir() + ", " + target, keys: []string{key}, take: func(ctx context.Context) (claims.Taken, error) {
			sample, verdict, finding, err := c.measure(ctx, b, target)
			if err == nil && verdict != report.Passed {
				err = fmt.Errorf("expected %s; %s (%s)", finding.Expected, finding.Happened, finding.Repeat)
			}
			if err != nil {
				return nil, err
			}
			return claims.Taken{key: sample}, nil
		}})
	}
	return steps, nil
}
