package main

import (
	"fmt"
	"strings"
	"time"
)

// The sections of the results, in the order of the page. Each can be measured by
// itself; those that are not stay as they are.
const (
	clusterSection   = "cluster"
	routerSection    = "router"
	tcpSection       = "tcp"
	faultsSection    = "faults"
	largeSection     = "large"
	placementSection = "placement"
	fairshareSection = "fairshare"
	c1mSection       = "c1m"
	sessionsSection  = "sessions"
	readsSection     = "reads"
	growthSection    = "growth"
)

func sections() []string {
	return []string{
		clusterSection, routerSection, tcpSection, faultsSection, largeSection, placementSection, fairshareSection, c1mSection, sessionsSection, readsSection, growthSection,
	}
}

// titleOf returns the heading of a section.
func titleOf(section string) string {
	return map[string]string{
		clusterSection:   "What aloft must reach",
		routerSection:    "The router beside others",
		tcpSection:       "The router as a relay of connections",
		faultsSection:    "Faults",
		largeSection:     "A new leader of a large cluster",
		placementSection: "Placement alone",
		fairshareSection: "The fair queue",
		c1mSection:       "A million tasks",
		sessionsSection:  "Sessions of many agents",
		readsSection:     "Reading everything",
		growthSection:    "Rolls, and cost as it grows",
	}[section]
}

// page is the results as they are kept: the text of each section by its title.
type page map[string]string

// parsePage reads a page that this program wrote.
func parsePage(text string) page {
	found := make(page)
	_, text, _ = strings.Cut(text, "\n## ")
	for section := range strings.SplitSeq(text, "\n## ") {
		title, body, _ := strings.Cut(section, "\n")
		if title != "" {
			found[title] = strings.TrimSpace(body)
		}
	}
	return found
}

// put replaces a section by what was measured now.
func (p page) put(section, body string) {
	p[titleOf(section)] = fmt.Sprintf("Measured by `make bench` on %s. %s\n\n%s",
		time.Now().Format(time.DateOnly), machine(), strings.TrimSpace(body))
}

// String returns the page as it is written.
func (p page) String() string {
	var text strings.Builder
	text.WriteString("# Results\n")
	for _, section := range sections() {
		if body, there := p[titleOf(section)]; there {
			fmt.Fprintf(&text, "\n## %s\n\n%s\n", titleOf(section), body)
		}
	}
	return text.String()
}
