package book

import (
	"encoding/binary"
	"fmt"
	"slices"

	"codeberg.org/go-fonts/liberation/liberationserifregular"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goitalic"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/gomonobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
)

// fonts are those of the Go project, made for text and code side by side, and
// the one that plots are measured in. So pages look the same on every machine.
func fonts() (map[string][]byte, error) {
	all := map[string][]byte{"go-mono": gomono.TTF, "go-mono-bold": gomonobold.TTF, "liberation-serif": liberationserifregular.TTF}
	for name, ttf := range map[string][]byte{"go-regular": goregular.TTF, "go-italic": goitalic.TTF, "go-bold": gobold.TTF} {
		text, err := shortHyphen(ttf)
		if err != nil {
			return nil, fmt.Errorf("font %s: %w", name, err)
		}
		all[name] = text
	}
	return all, nil
}

// shortHyphen makes a font for code one for prose. The Go fonts draw the - of
// the keyboard as long as a minus; their hyphen proper stands at U+00AD. This
// puts the outline and the width of the one in place of the other.
//
// The tables are those of the OpenType specification: loca says where in glyf
// each outline is, hmtx has four bytes of width and bearing for each glyph.
func shortHyphen(ttf []byte) ([]byte, error) {
	font, err := sfnt.Parse(ttf)
	if err != nil {
		return nil, err
	}
	var buffer sfnt.Buffer
	minus, err1 := font.GlyphIndex(&buffer, '-')
	hyphen, err2 := font.GlyphIndex(&buffer, '\u00ad')
	if err1 != nil || err2 != nil || minus == 0 || hyphen == 0 {
		return nil, fmt.Errorf("it has no two hyphens")
	}
	ttf = slices.Clone(ttf)
	glyf, loca, hmtx := table(ttf, "glyf"), table(ttf, "loca"), table(ttf, "hmtx")
	long := binary.BigEndian.Uint16(table(ttf, "head")[50:]) == 1
	outline := func(g sfnt.GlyphIndex) []byte {
		if long {
			return glyf[binary.BigEndian.Uint32(loca[4*g:]):binary.BigEndian.Uint32(loca[4*g+4:])]
		}
		return glyf[2*int(binary.BigEndian.Uint16(loca[2*g:])) : 2*int(binary.BigEndian.Uint16(loca[2*g+2:]))]
	}
	if len(outline(hyphen)) > len(outline(minus)) {
		return nil, fmt.Errorf("the outline of its hyphen is longer than that of its minus")
	}
	copy(outline(minus), outline(hyphen))
	copy(hmtx[4*minus:4*minus+4], hmtx[4*hyphen:])
	return ttf, nil
}

// table is a part of a font file by its name; nil if the font has none.
func table(ttf []byte, name string) []byte {
	for i := range int(binary.BigEndian.Uint16(ttf[4:])) {
		entry := ttf[12+16*i:]
		if string(entry[:4]) == name {
			at, size := binary.BigEndian.Uint32(entry[8:]), binary.BigEndian.Uint32(entry[12:])
			return ttf[at : at+size]
		}
	}
	return nil
}
