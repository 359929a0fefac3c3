package placement

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
)

// why says in words what spoke for the agent that won.
func (s *search) why(request Request, pool id.Pool) string {
	c := &s.best
	parts := []string{s.rivals()}
	if c.avoided {
		parts = append(parts, "though it is to be avoided")
	}
	if c.weight != ledger.WeightOne && c.weight > 0 {
		parts = append(parts, "mean weight "+decimal(c.weight))
	}
	for i, l := range s.levels {
		if text := s.crowd(l.attribute, c.crowds[i]); text != "" {
			parts = append(parts, text)
		}
	}
	if s.dominant != "" {
		parts = append(parts, fmt.Sprintf("leaves %s %s", s.dominant, resource.FormatAmount(s.dominant, resource.KindScalar, c.leftover)))
	}
	if len(request.Pools) > 1 {
		parts = append(parts, "from pool "+string(pool)+", the highest with room")
	}
	return strings.Join(parts, ", ")
}

// rivals says against how many the agent won.
func (s *search) rivals() string {
	switch {
	case s.request.Only != "":
		return fmt.Sprintf("agent %s is asked for", s.best.agent.ID())
	case s.fits == 1:
		return fmt.Sprintf("only agent %s fits", s.best.agent.ID())
	default:
		return fmt.Sprintf("agent %s is the best of %d that fit", s.best.agent.ID(), s.fits)
	}
}

// crowd says how many siblings are near. It is empty where that says nothing.
func (s *search) crowd(attributeName string, siblings int) string {
	total := 0
	for _, n := range s.request.Siblings {
		total += n
	}
	if total == 0 {
		return ""
	}
	value, ok := attribute(s.best.agent, attributeName)
	var place string
	switch {
	case attributeName == AgentAttribute:
		place = "on the agent"
	case attributeName == HostAttribute && value == string(s.best.agent.ID()):
		return "" // the host is the agent
	case attributeName == HostAttribute:
		place = "on host " + value
	case !ok:
		place = "without " + attributeName
	default:
		place = "in " + attributeName + " " + value
	}
	return fmt.Sprintf("%d of %d instances %s", siblings, total, place)
}

// decimal prints thousandths.
func decimal(thousandths int64) string {
	return strconv.FormatFloat(float64(thousandths)/ledger.WeightOne, 'f', -1, 64)
}
