package book

import (
	"fmt"
	"maps"
	"net/url"
	"path"
	"regexp"
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
		for _, m := range idAttribute.FindAllSubmatch(s[name], -1) {
			id := unescape(string(m[1]))
			if ids[name][id] {
				complaints = append(complaints, fmt.Sprintf("%s has the anchor #%s twice", name, id))
			}
			ids[name][id] = true
		}
	}
	for _, name := range s.pages() {
		for _, m := range linkAttribute.FindAllSubmatch(s[name], -1) {
			if why := s.follow(name, string(m[1]), unescape(string(m[2])), ids); why != "" {
				complaints = append(complaints, fmt.Sprintf("%s: %s", name, why))
			}
		}
	}
	return complaints
}

// Text in HTML has no quotation marks, they are escaped: what looks like an
// attribute is one.
var (
	idAttribute   = regexp.MustCompile(`<[^<>]*\sid="([^"]*)"`)
	linkAttribute = regexp.MustCompile(`<(\w+)[^<>]*?\s(?:href|src)="([^"]*)"`)
)

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
		if tag != "a" {
			return fmt.Sprintf("<%s> loads %s, which is not in the site", tag, link)
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
