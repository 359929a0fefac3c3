package cli

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
)

// How many items a list asks for at a time: of tasks there are so many in a page, of
// others there may be fewer.
const pageSize, listPageSize = 1000, 5000

// clusterAPI shortens the names of the API's methods, as in clusterAPI.Scale.
type clusterAPI = aloftv1connect.ClusterServiceClient

// method is one of the API.
type method[Req, Res any] func(clusterAPI, context.Context, *connect.Request[Req]) (*connect.Response[Res], error)

// message is what the API asks and answers with.
type message[M any] interface {
	*M
	proto.Message
}

// call makes one call of the API and prints its answer: as JSON when that was
// asked for, or else as show writes it.
func call[Req, Res any, _ message[Req], Answer message[Res]](
	cmd *cobra.Command, a *app, method method[Req, Res], request *Req, show func(*Res),
) error {
	answer, err := ask(cmd.Context(), a, method, request)
	if err != nil {
		return err
	}
	if a.json {
		return printJSON(cmd.OutOrStdout(), Answer(answer))
	}
	show(answer)
	return nil
}

// ask makes one call of the API.
func ask[Req, Res any](ctx context.Context, a *app, method method[Req, Res], request *Req) (*Res, error) {
	cluster, err := a.cluster()
	if err != nil {
		return nil, err
	}
	answer, err := method(cluster, ctx, connect.NewRequest(request))
	if err != nil {
		return nil, a.advise(err)
	}
	return answer.Msg, nil
}

// pages makes the calls of a list, page after page, and returns all as one
// answer.
func pages[Req, Res any, Request message[Req], Answer message[Res]](
	ctx context.Context, a *app, method method[Req, Res], request Request,
) (Answer, error) {
	var whole Answer
	set(request, "page_size", protoreflect.ValueOfInt32(listPageSize))
	for {
		page, err := ask(ctx, a, method, (*Req)(request))
		if err != nil {
			return nil, err
		}
		if whole == nil {
			whole = page
		} else {
			gather(whole.ProtoReflect(), Answer(page).ProtoReflect())
		}
		next := whole.ProtoReflect().Descriptor().Fields().ByName("next_page_token")
		token := Answer(page).ProtoReflect().Get(next)
		if token.String() == "" {
			whole.ProtoReflect().Clear(next)
			return whole, nil
		}
		set(request, "page_token", token)
	}
}

// gather moves what the next page of an answer has to the pages before: lists grow by what
// the page has, which is not copied, and all else becomes as the page says.
func gather(whole, page protoreflect.Message) {
	page.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if !field.IsList() {
			whole.Set(field, value)
			return true
		}
		list, more := whole.Mutable(field).List(), value.List()
		for i := range more.Len() {
			list.Append(more.Get(i))
		}
		return true
	})
}

// set gives a field of a list's request a value. Every such request has it.
func set(request proto.Message, field protoreflect.Name, value protoreflect.Value) {
	m := request.ProtoReflect()
	m.Set(m.Descriptor().Fields().ByName(field), value)
}

// advise adds to an error of a call what the reader can do about it.
func (a *app) advise(err error) error {
	coded, ok := errors.AsType[*connect.Error](err)
	if !ok || connect.IsWireError(err) {
		return err // a master has answered
	}
	switch coded.Code() {
	case connect.CodeUnavailable:
		return &exitError{ExitUnreachable, fmt.Errorf(
			"no master answered: %s\nIs one running? Start a cluster with 'aloft dev', or name a master with --addr or $%s",
			coded.Message(), addressVariable,
		)}
	case connect.CodeUnimplemented, connect.CodeUnknown:
		return &exitError{ExitUnreachable, fmt.Errorf(
			"what answers at %s is no master, or one of another version: %s\nName a master with --addr or $%s",
			a.masters.Address(), coded.Message(), addressVariable,
		)}
	default:
		return err
	}
}
