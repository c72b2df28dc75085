package pages

import (
	"html/template"
	"strings"
)

// A Bar is one row of a bar chart.
type Bar struct {
	Name  string
	Value float64 // what its length shows
	Text  string  // what is written at its end
	Note  string  // in small letters behind that: a spread
	Kind  string  // "naive", "claim", or empty
}

// Bars draws values of one unit below each other, from zero.
func Bars(unit string, bars ...Bar) template.HTML {
	longest := 0.0
	for _, b := range bars {
		longest = max(longest, b.Value)
	}
	type row struct {
		Bar
		Percent float64
	}
	data := struct {
		Unit string
		Rows []row
	}{Unit: unit}
	for _, b := range bars {
		data.Rows = append(data.Rows, row{b, 100 * b.Value / max(longest, 1e-12)})
	}
	return render(barsLayout, data)
}

var barsLayout = template.Must(template.New("bars").Parse(`<div class="bars"><div class="unit">{{.Unit}}</div>{{range .Rows}}<div class="name">{{.Name}}</div><div class="track"><span class="fill {{.Kind}}" style="width: {{printf "%.2f" .Percent}}%"></span></div><div class="value">{{.Text}}{{with .Note}} <span class="spread">{{.}}</span>{{end}}</div>{{end}}</div>`))

// A Note is a word and what there is to say to it.
type Note struct {
	Word string
	Text template.HTML
}

// Notes lists notes, those without text left out.
func Notes(notes ...Note) template.HTML {
	var b strings.Builder
	for _, n := range notes {
		if n.Text != "" {
			b.WriteString("<dt>" + string(Text(n.Word)) + "</dt><dd>" + string(n.Text) + "</dd>")
		}
	}
	return template.HTML("<dl>" + b.String() + "</dl>")
}

// Meter shows a share from 0 to 1 in a small bar.
func Meter(share float64) template.HTML {
	return render(meterLayout, 100*min(max(share, 0), 1))
}

var meterLayout = template.Must(template.New("meter").Parse(`<span class="meter"><span style="width: {{printf "%.1f" .}}%"></span></span>`))

func render(t *template.Template, data any) template.HTML {
	var b strings.Builder
	if err := t.Execute(&b, data); err != nil {
		panic("pages: " + err.Error()) // the data are this package's own
	}
	return template.HTML(b.String())
}
