package book

import (
	"fmt"
	"iter"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"
)

// Dead follows every link of the site, anchors included, and says which lead
// nowhere. It also names anchors that a page has twice, and everything that
// would be loaded from elsewhere. Links to other sites are not followed.
func (s Site) Dead() (complaints []string) {
	ids := map[string]map[string]bool{}
	for _, name := range s.pages() {
		ids[name] = map[string]bool{}
		for tag := range tags(s[name]) {
			id, found := attribute(tag, "id")
			if !found {
				continue
			}
			if ids[name][id] {
				complaints = append(complaints, fmt.Sprintf("%s has the anchor #%s twice", name, id))
			}
			ids[name][id] = true
		}
	}
	for _, name := range s.pages() {
		for tag := range tags(s[name]) {
			for _, kind := range []string{"href", "src"} {
				link, found := attribute(tag, kind)
				if !found {
					continue
				}
				if why := s.follow(name, tag, link, ids); why != "" {
					complaints = append(complaints, fmt.Sprintf("%s: %s", name, why))
				}
			}
		}
	}
	return complaints
}

// tags are those of a page, without their brackets. Text and attributes have
// brackets and quotation marks escaped: what looks like a tag is one.
func tags(page []byte) iter.Seq[string] {
	return func(yield func(string) bool) {
		for rest := string(page); ; {
			_, after, found := strings.Cut(rest, "<")
			tag, behind, closed := strings.Cut(after, ">")
			if !found || !closed || !yield(tag) {
				return
			}
			rest = behind
		}
	}
}

// attribute is one of a tag by its name.
func attribute(tag, name string) (value string, found bool) {
	_, after, found := strings.Cut(tag, " "+name+`="`)
	if !found {
		return "", false
	}
	value, _, found = strings.Cut(after, `"`)
	return unescape(value), found
}

// pages are the names of all HTML files.
func (s Site) pages() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(s)), func(name string) bool { return path.Ext(name) != ".html" })
}

// follow says what is wrong with one link of a page; nothing, if it leads
// somewhere.
func (s Site) follow(page, tag, link string, ids map[string]map[string]bool) string {
	u, err := url.Parse(link)
	if err != nil {
		return fmt.Sprintf("%q is no address: %v", link, err)
	}
	if u.Scheme != "" || u.Host != "" {
		if element, _, _ := strings.Cut(tag, " "); element != "a" {
			return fmt.Sprintf("<%s> loads %s, which is not in the site", element, link)
		}
		return ""
	}
	if link == "" {
		return "an empty link: its target is not there"
	}
	target := page
	if u.Path != "" {
		target = path.Join(path.Dir(page), u.Path)
	}
	if strings.HasPrefix(target, "..") || s[target] == nil {
		return fmt.Sprintf("%s is not in the site", link)
	}
	if u.Fragment != "" && !ids[target][u.Fragment] {
		return fmt.Sprintf("%s has no anchor #%s", target, u.Fragment)
	}
	return ""
}
