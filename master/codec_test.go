package master_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
)

// post makes a call as any program does that can send JSON.
func (n *node) post(call, kind, body string) (status int, answer string) {
	n.Helper()
	req, err := http.NewRequestWithContext(n.Context(), http.MethodPost, "http://masters/aloft.v1.ClusterService/"+call, strings.NewReader(body))
	if err != nil {
		n.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	res, err := n.http().Do(req)
	if err != nil {
		n.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		n.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func TestJSONIsReadStrictly(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		body   string
		status int
		says   string // in the answer
		wanted int32  // instances afterwards
	}{
		"all is known":            {`{"service":"web","instances":3}`, http.StatusOK, `"instances":3`, 3},
		"zero is a number":        {`{"service":"web","instances":0}`, http.StatusOK, `"name":"web"`, 0},
		"an unknown field":        {`{"service":"web","instances":3,"count":7}`, http.StatusBadRequest, `unknown field \"count\"`, 2},
		"a misspelled field":      {`{"service":"web","instnces":3}`, http.StatusBadRequest, `unknown field \"instnces\"`, 2},
		"the number is missing":   {`{"service":"web"}`, http.StatusBadRequest, "instances: missing; want a number from 0", 2},
		"the number is null":      {`{"service":"web","instances":null}`, http.StatusBadRequest, "instances: missing; want a number from 0", 2},
		"a number that is none":   {`{"service":"web","instances":"many"}`, http.StatusBadRequest, "many", 2},
		"garbage":                 {`garbage`, http.StatusBadRequest, "ScaleRequest", 2},
		"half an object":          {`{"service":"web","instances":3`, http.StatusBadRequest, "ScaleRequest", 2},
		"something after the end": {`{"service":"web","instances":3} {}`, http.StatusBadRequest, "ScaleRequest", 2},
		"nothing":                 {``, http.StatusBadRequest, "the body is empty", 2},
	}
	for name, tc := range tests {
		for _, kind := range []string{"application/json", "application/json; charset=utf-8"} {
			t.Run(name+", as "+kind, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					n := single(t)
					n.deploy(web(2, "v1"))

					status, answer := n.post("Scale", kind, tc.body)

					said := strings.NewReplacer("\u00a0", " ", `": `, `":`).Replace(answer) // protojson puts spaces by chance
					if status != tc.status || !strings.Contains(said, tc.says) {
						t.Errorf("%d %s, want %d and %s", status, answer, tc.status, tc.says)
					}
					if tc.status != http.StatusOK && !strings.Contains(answer, `"invalid_argument"`) {
						t.Errorf("code in %s, want invalid_argument", answer)
					}
					if got := n.service("web").GetService().GetInstances(); got != tc.wanted {
						t.Errorf("%d instances are wanted, want %d", got, tc.wanted)
					}
				})
			})
		}
	}
}

// TestAnswersAreTheSameInEveryProtocol: what a client reads does not depend on
// how it asks, nor on whether the master knows all that it says in binary.
func TestAnswersAreTheSameInEveryProtocol(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		n.deploy(web(2, "v1"))
		newer := &pb.GetServiceRequest{Service: "web"}
		newer.ProtoReflect().SetUnknown([]byte{0x98, 0x06, 0x01}) // field 99, as of a newer client
		want := n.service("web")
		over := n.http()
		for name, options := range map[string][]connect.ClientOption{
			"connect": nil, "json": {connect.WithProtoJSON()}, "grpc-web": {connect.WithGRPCWeb()},
			"grpc-web and json": {connect.WithGRPCWeb(), connect.WithProtoJSON()},
		} {
			api := aloftv1connect.NewClusterServiceClient(over, "http://masters", options...)
			got := must[pb.GetServiceResponse](t)(api.GetService(t.Context(), ask(newer))).GetService()
			if !proto.Equal(got, want) {
				t.Errorf("%s: %v, want %v", name, got, want)
			}
		}

		grpc := aloftv1connect.NewClusterServiceClient(n.client(), "http://masters", connect.WithGRPC())
		if got := must[pb.GetServiceResponse](t)(grpc.GetService(t.Context(), ask(newer))).GetService(); !proto.Equal(got, want) {
			t.Errorf("grpc: %v, want %v", got, want)
		}

		status, answer := n.post("GetService", "application/json", `{"service":"web"}`)
		usual, err := protojson.Marshal(&pb.GetServiceResponse{Service: want})
		if status != http.StatusOK || err != nil || !sameJSON(t, answer, string(usual)) {
			t.Errorf("%d %s, want %s, %v", status, answer, usual, err)
		}
	})
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var texts [2]string
	for i, text := range []string{a, b} {
		var value any
		if err := json.Unmarshal([]byte(text), &value); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		sorted, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		texts[i] = string(sorted)
	}
	return texts[0] == texts[1]
}

// TestEveryCallIsServed: a call of the API that nobody serves would be found by its
// first user.
func TestEveryCallIsServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		methods := pb.File_aloft_v1_cluster_proto.Services().ByName("ClusterService").Methods()
		for i := range methods.Len() {
			method := methods.Get(i)
			kind := "application/json"
			body := "{}"
			if method.IsStreamingServer() {
				kind, body = "application/connect+json", "\x00\x00\x00\x00\x01x" // a stream whose request is none, and so ends
			}

			status, answer := n.post(string(method.Name()), kind, body)

			if status == http.StatusNotFound && answer == "404 page not found\n" || strings.Contains(answer, "unimplemented") {
				t.Errorf("%s: status %d, %s", method.Name(), status, answer)
			}
		}
	})
}
