package placement

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
)

// lack is how much of one type an agent or pool is short of: now, or even when
// nothing is claimed of it.
type lack struct {
	of     resource.Type
	kind   resource.Kind
	port   int64 // the one port that is lacking, or 0
	whole  bool  // even when nothing is claimed
	wanted int64
	there  int64 // the most that an agent has, or has free
	varies bool  // agents differ in how much they have
}

func newLack(short *ledger.ShortageError) lack {
	return lack{of: short.Type, kind: short.Kind, port: short.Port, wanted: short.Wanted, there: short.Free}
}

// appendKey appends what the lacks of agents in one group have in common.
func (l *lack) appendKey(key []byte) []byte {
	key = append(key, l.of...)
	if l.whole {
		key = append(key, '!')
	}
	return append(strconv.AppendInt(append(key, ' '), l.port, 10), ' ')
}

// join makes l tell of two agents: what the better one lacks.
func (l *lack) join(other lack) {
	l.varies = l.varies || l.there != other.there
	l.there = max(l.there, other.there)
}

// String says what is lacking: "short of mem by 512MiB".
func (l *lack) String() string {
	switch {
	case l.port != 0 && l.whole:
		return fmt.Sprintf("without port %d", l.port)
	case l.port != 0:
		return fmt.Sprintf("with port %d taken", l.port)
	case l.whole:
		return fmt.Sprintf("too small for %s %s (%s at most)", l.of, l.format(l.wanted), l.format(l.there))
	case l.varies:
		return fmt.Sprintf("short of %s by %s or more", l.of, l.format(l.wanted-l.there))
	default:
		return fmt.Sprintf("short of %s by %s", l.of, l.format(l.wanted-l.there))
	}
}

func (l *lack) format(amount int64) string { return resource.FormatAmount(l.of, l.kind, amount) }

func lackText(lacks []lack) string {
	texts := make([]string, len(lacks))
	for i := range lacks {
		texts[i] = lacks[i].String()
	}
	return strings.Join(texts, " and ")
}

// excessOfAgent returns what the task wants beyond all that an agent has,
// claimed or not.
func excessOfAgent(agent ledger.AgentView, request Request) []lack {
	var lacks []lack
	for t, q := range request.Resources.All() {
		if left := beyond(agent, t, q); left > 0 {
			lacks = append(lacks, lack{of: t, kind: q.Kind(), whole: true, wanted: q.Amount(), there: q.Amount() - left})
		}
	}
	for _, wish := range request.Ports {
		if wish.Number != 0 && !hasPort(agent, wish.Number) {
			lacks = append(lacks, lack{of: resource.Ports, kind: resource.KindRanges, port: wish.Number, whole: true})
		}
	}
	if ports, all := request.ports(), agent.Balance(resource.Ports).Quantity; ports > all && len(request.Ports) > 0 {
		lacks = append(lacks, lack{of: resource.Ports, kind: resource.KindRanges, whole: true, wanted: ports, there: all})
	}
	return lacks
}

// beyond returns how much of q an agent's partitions together do not have.
func beyond(agent ledger.AgentView, t resource.Type, q resource.Quantity) int64 {
	for p := range agent.Partitions() {
		switch {
		case p.Type != t || p.Quantity.Kind() != q.Kind():
		case q.Kind() == resource.KindScalar:
			q = resource.Scalar(max(0, q.Amount()-p.Quantity.Amount()))
		default:
			q = q.Without(p.Quantity)
		}
	}
	return q.Amount()
}

func hasPort(agent ledger.AgentView, port int64) bool {
	for p := range agent.Partitions() {
		if p.Type == resource.Ports && p.Quantity.Has(port) {
			return true
		}
	}
	return false
}

// excessOfPool returns what the task wants beyond the whole of a pool.
func excessOfPool(pool ledger.PoolView, request Request) []lack {
	var lacks []lack
	for t, limit := range pool.Pool().Quantity.All() {
		q, _ := request.Resources.Get(t)
		amount := q.Amount()
		if t == resource.Ports {
			amount = request.ports()
		}
		if amount > limit.Amount() {
			lacks = append(lacks, lack{of: t, kind: limit.Kind(), whole: true, wanted: amount, there: limit.Amount()})
		}
	}
	return lacks
}

// ports returns how many ports the task takes, by name and by number.
func (r *Request) ports() int64 {
	listed, _ := r.Resources.Get(resource.Ports)
	return listed.Amount() + int64(len(r.Ports))
}
