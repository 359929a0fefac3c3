package store

import (
	"context"
	"slices"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// transact asks for a commit once: see Commit. The member in this process is asked
// without the client, which would make each operation twice on the way, and with it
// half of the memory that a commit takes. The keys of ops begin below the prefix.
func (e *etcd) transact(ctx context.Context, epoch uint64, number string, ops []Op) (*clientv3.TxnResponse, error) {
	if e.kv != nil {
		answer, err := e.kv.Txn(ctx, e.request(epoch, number, ops))
		return (*clientv3.TxnResponse)(answer), clientv3.ContextError(ctx, err)
	}
	return e.client.Txn(ctx).
		If(
			clientv3.Compare(clientv3.CreateRevision(e.leaderKey()), "=", int64(epoch)),
			clientv3.Compare(clientv3.Value(e.commitKey()), "<", number),
		).
		Then(append(e.writes(ops), clientv3.OpPut(e.commitKey(), number))...).
		Else(clientv3.OpGet(e.leaderKey()), clientv3.OpGet(e.commitKey())).
		Commit()
}

func (e *etcd) writes(ops []Op) []clientv3.Op {
	writes := make([]clientv3.Op, 0, len(ops)+1)
	for _, op := range ops {
		if op.Delete {
			writes = append(writes, clientv3.OpDelete(e.prefix+op.Key))
		} else {
			writes = append(writes, clientv3.OpPut(e.prefix+op.Key, string(op.Value)))
		}
	}
	return writes
}

// request returns the transaction as a message. What the operations are made of is
// made in few pieces.
func (e *etcd) request(epoch uint64, number string, ops []Op) *etcdserverpb.TxnRequest {
	get := func(key string) *etcdserverpb.RequestOp {
		return &etcdserverpb.RequestOp{Request: &etcdserverpb.RequestOp_RequestRange{RequestRange: &etcdserverpb.RangeRequest{Key: []byte(key)}}}
	}
	leader, last := []byte(e.leaderKey()), []byte(e.commitKey())
	return &etcdserverpb.TxnRequest{
		Compare: []*etcdserverpb.Compare{{
			Key: leader, Target: etcdserverpb.Compare_CREATE, Result: etcdserverpb.Compare_EQUAL,
			TargetUnion: &etcdserverpb.Compare_CreateRevision{CreateRevision: int64(epoch)},
		}, {
			Key: last, Target: etcdserverpb.Compare_VALUE, Result: etcdserverpb.Compare_LESS,
			TargetUnion: &etcdserverpb.Compare_Value{Value: []byte(number)},
		}},
		Success: e.requests(append(slices.Clip(ops), Op{Value: []byte(number)})),
		Failure: []*etcdserverpb.RequestOp{get(e.leaderKey()), get(e.commitKey())},
	}
}

// requests returns operations as messages; the last one is of the number of the commit.
func (e *etcd) requests(ops []Op) []*etcdserverpb.RequestOp {
	size, prefix := 0, e.prefix
	for _, op := range ops {
		size += len(prefix) + len(op.Key)
	}
	keys := make([]byte, 0, size+len(e.commitKey()))
	requests, puts := make([]etcdserverpb.RequestOp, len(ops)), make([]etcdserverpb.PutRequest, len(ops))
	put := make([]etcdserverpb.RequestOp_RequestPut, len(ops))
	list := make([]*etcdserverpb.RequestOp, len(ops))
	for i, op := range ops {
		begin := len(keys)
		if i == len(ops)-1 {
			keys = append(keys, e.commitKey()...)
		} else {
			keys = append(append(keys, prefix...), op.Key...)
		}
		key := keys[begin:len(keys):len(keys)]
		list[i] = &requests[i]
		if op.Delete {
			list[i].Request = &etcdserverpb.RequestOp_RequestDeleteRange{RequestDeleteRange: &etcdserverpb.DeleteRangeRequest{Key: key}}
			continue
		}
		puts[i].Key, puts[i].Value = key, op.Value
		put[i].RequestPut = &puts[i]
		list[i].Request = &put[i]
	}
	return list
}
