package main

import "github.com/asynclab/asynclab/harness/report"

func (c clone) forgetHints(r *report.Check) error { return nil }
