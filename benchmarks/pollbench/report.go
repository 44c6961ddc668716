package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"pollux/benchmarks/pollbench/sim"
)

// report is the outcome of a run, as --json prints it.
type report struct {
	Seed      *uint64   `json:"seed,omitempty"` // of the first distribution
	Durations string    `json:"durations,omitempty"`
	Target    string    `json:"target"`
	MaxDelay  string    `json:"max_delay"`
	Rows      []sim.Row `json:"rows"`
	// Scores is the mean x of each policy that has one in every distribution.
	Scores map[string]float64 `json:"scores"`
}

func (r *report) score() {
	r.Scores = map[string]float64{}
	for _, policy := range sim.Policies(r.Rows) {
		if score, err := sim.Score(r.Rows, policy); err == nil {
			r.Scores[policy] = score
		}
	}
}

func (r *report) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// writeTable prints the rows, and the scores below.
func (r *report) writeTable(w io.Writer) error {
	source := r.Durations
	if r.Seed != nil {
		source = "seed " + strconv.FormatUint(*r.Seed, 10)
	}
	fmt.Fprintf(w, "%s, target %s, max_delay %s\n\n", source, r.Target, r.MaxDelay)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "distribution\tpolicy\ttasks\tpolls/task\tmean delay s\tZ\tp95 delay s\tx\twithin")
	for _, row := range r.Rows {
		fmt.Fprintf(t, "%s\t%s\t%d\t%.2f\t%.2f\t%.3f\t%.2f\t%s\t%s\n",
			row.Case, row.Policy, row.Jobs, row.Polls, row.Delay, row.Z, row.P95, known(row.Excess), known(row.Within))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprint(w, "\nscore (mean x)")
	separator := ": "
	for _, policy := range sim.Policies(r.Rows) {
		if score := r.Scores[policy]; score > 0 {
			fmt.Fprintf(w, "%s%s %.3f", separator, policy, score)
			separator = ", "
		}
	}
	_, err := fmt.Fprintln(w)
	return err
}

func known(x float64) string {
	if x == 0 {
		return "-"
	}
	return strconv.FormatFloat(x, 'f', 3, 64)
}
