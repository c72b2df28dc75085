package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// table is what was measured.
type table struct {
	Servers []server            `json:"-"`
	Scenes  []scene             `json:"-"`
	Cells   map[string][]figure `json:"cells"` // by "server, scene": a figure a round
}

func (t *table) add(s server, a scene, f figure) {
	key := s.name + ", " + a.name
	t.Cells[key] = append(t.Cells[key], f)
}

func (t *table) print(out io.Writer, rounds int) {
	fmt.Fprintf(out, "\nMedians [lowest, highest] of %d rounds in turns; 64-byte payloads (1,024 with silent\nmembers); echo with 1,000 connections, broadcast to 5,000; server on one core, client\non another. CPU s/M: the server's CPU seconds for a million echoes or deliveries.\n\n", rounds)
	rows := [][]string{{"server"}}
	for _, a := range t.Scenes {
		rows[0] = append(rows[0], a.title+" ("+a.unit+")")
	}
	for _, s := range t.Servers {
		row := []string{s.name}
		for _, a := range t.Scenes {
			row = append(row, cell(t.Cells[s.name+", "+a.name]))
		}
		rows = append(rows, row)
	}
	for i, row := range rows {
		fmt.Fprintf(out, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			fmt.Fprintf(out, "|%s\n", strings.Repeat(" --- |", len(row)))
		}
	}
}

// cell is the median and the extremes, or the words of rounds that failed.
func cell(figures []figure) string {
	var values []float64
	words := map[string]int{}
	for _, f := range figures {
		if f.Word != "" {
			words[f.Word]++
		}
		if f.Word == "" || strings.HasPrefix(f.Word, "drops") {
			values = append(values, f.Value)
		}
	}
	text := ""
	if len(values) > 0 {
		slices.Sort(values)
		text = fmt.Sprintf("%s [%s, %s]", short(values[len(values)/2]), short(values[0]), short(values[len(values)-1]))
	}
	for w, n := range words {
		if strings.HasPrefix(w, "drops") {
			w = "drops"
		}
		text += fmt.Sprintf(" %s in %d", w, n)
		if w == "drops" {
			break
		}
	}
	return strings.TrimSpace(text)
}

func short(f float64) string {
	switch {
	case f >= 100:
		return fmt.Sprintf("%.0f", f)
	case f >= 10:
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprintf("%.2f", f)
}
