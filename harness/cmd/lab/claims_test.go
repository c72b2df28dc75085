//go:build !light

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/asynclab/asynclab/harness/claims"
	"github.com/asynclab/asynclab/harness/report"
	"github.com/asynclab/asynclab/harness/spec"
)

func TestSomeClaimsAloneAreMeasuredAndJudged(t *testing.T) {
	c := testClone(t)
	o := claimOptions{only: []string{"accept", "preallocation"}, quick: true, json: true}
	chosen, err := o.complete()
	require.NoError(t, err)
	var out, told bytes.Buffer
	require.NoError(t, c.claims(t.Context(), o, chosen, &out, &told))
	var d claims.Document
	require.NoError(t, json.Unmarshal(out.Bytes(), &d))
	require.Len(t, d.Results, 2)
	require.Equal(t, "accept", d.Results[0].ID)
	require.Contains(t, told.String(), "[ 1/2]")
	page, err := os.ReadFile(c.state("claims.html"))
	require.NoError(t, err)
	require.Contains(t, string(page), "make claims ONLY=preallocation")

	out.Reset()
	o.json = false
	require.NoError(t, c.showClaims(d, o, &out))
	require.Contains(t, out.String(), "because   It sleeps for 10 ms")
}

func TestOptionsOfClaimsAreChecked(t *testing.T) {
	for want, args := range map[string][]string{
		"the claims are thread, loop": {"claims", "--only", "speed"},
		"leave --quick and --only":    {"claims", "--write", "--quick"},
		"at least one":                {"claims", "--rounds", "0"},
	} {
		var out, complaint bytes.Buffer
		require.Equal(t, report.ExitUsage, execute(t.Context(), args, &out, &complaint), args)
		require.Contains(t, complaint.String(), want)
	}
}

func TestClaimsAreTakenInTurnsAndTroublesAreTold(t *testing.T) {
	var order string
	step := func(name string, most int, err error) claimStep {
		return claimStep{name: name, most: most, take: func(context.Context) (claims.Taken, error) {
			order += name
			return claims.Taken{name: spec.Sample{Value: 1}}, err
		}}
	}
	s := newScreen(&bytes.Buffer{})
	defer s.close()
	samples, troubles, err := takeAll(t.Context(), claimOptions{rounds: 3}, []claimStep{step("a", 0, nil), step("b", 0, errors.New("no figure")), step("c", 1, nil)}, s)
	require.NoError(t, err)
	require.Equal(t, "abcbaab", order)
	require.Len(t, samples["a"], 3)
	require.Len(t, samples["c"], 1)
	require.Len(t, troubles, 3)
	require.Contains(t, troubles[0], "b, round 1: no figure")
}

func TestClaimsEndWithTheirContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := newScreen(&bytes.Buffer{})
	defer s.close()
	_, _, err := takeAll(ctx, claimOptions{rounds: 3}, []claimStep{{name: "a", take: func(context.Context) (claims.Taken, error) { cancel(); return nil, nil }}}, s)
	require.ErrorIs(t, err, context.Canceled)
}

func TestTheStudentsPageIsMadeFromWhatThereIs(t *testing.T) {
	c := testClone(t)
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	var out bytes.Buffer
	require.NoError(t, c.report(now, &out))
	require.Contains(t, out.String(), "Nothing has been checked yet")

	require.NoError(t, c.history().Append(report.Entry{Time: now, Lab: "02", Side: "labs", Points: 40, Outcome: report.SomeFailed, First: "EchoesEveryByte"}))
	require.NoError(t, c.history().Append(report.Entry{Time: now, Lab: "02", Side: "solutions", Points: 100, Outcome: report.AllPoints}))
	require.NoError(t, os.WriteFile(c.lastReport("02-epoll", "labs"), []byte(`{"lab": "02", "tar`), 0o644)) // cut short
	out.Reset()
	require.NoError(t, c.report(now, &out))
	require.Contains(t, out.String(), "40 of ")
	page, err := os.ReadFile(c.state("report.html"))
	require.NoError(t, err)
	require.Contains(t, string(page), "make hint LAB=02")
}

func TestAComparisonIsKeptForTheReport(t *testing.T) {
	c := testClone(t)
	require.NoError(t, os.MkdirAll(c.state("compare"), 0o755))
	labs, err := builtLabs([]string{"01"})
	require.NoError(t, err)
	require.NoError(t, c.keepComparison(labs[0], 3, &contender{}, &contender{}, []report.Target{{Title: "memory"}}))
	made, err := c.transcript(time.Now())
	require.NoError(t, err)
	require.Empty(t, made.Labs[0].Latency, "no latency was recorded")
}
