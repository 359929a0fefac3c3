package wire

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/aloft-run/aloft/core/engine"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// Marshal returns what the store keeps of a record.
func Marshal(record engine.Record) ([]byte, error) {
	if value, short := marshalShort(record); short {
		return value, nil
	}
	return proto.Marshal(FromRecord(record))
}

// Unmarshal returns the record that Marshal made value from.
func Unmarshal(value []byte) (engine.Record, error) {
	var m pb.Record
	if err := proto.Unmarshal(value, &m); err != nil {
		return nil, err
	}
	return ToRecord(&m)
}

// FromRecord returns record as a message.
func FromRecord(record engine.Record) *pb.Record {
	switch r := record.(type) {
	case *engine.Cluster:
		return &pb.Record{Record: &pb.Record_Cluster{Cluster: FromCluster(r)}}
	case *engine.Agent:
		return &pb.Record{Record: &pb.Record_Agent{Agent: FromAgent(r)}}
	case *engine.Pool:
		return &pb.Record{Record: &pb.Record_Pool{Pool: FromPool(r)}}
	case *engine.Service:
		return &pb.Record{Record: &pb.Record_Service{Service: FromService(r)}}
	case *engine.Revision:
		return &pb.Record{Record: &pb.Record_Revision{Revision: FromRevision(r)}}
	case *engine.Deployment:
		return &pb.Record{Record: &pb.Record_Deployment{Deployment: FromDeployment(r)}}
	case *engine.Task:
		return &pb.Record{Record: &pb.Record_Task{Task: FromTask(r)}}
	default:
		panic(fmt.Sprintf("record of unknown type %T", record))
	}
}

// ToRecord returns the record that m says.
func ToRecord(m *pb.Record) (engine.Record, error) {
	if err := checkForm(m); err != nil {
		return nil, err
	}
	switch r := m.GetRecord().(type) {
	case *pb.Record_Cluster:
		return toCluster(r.Cluster), nil
	case *pb.Record_Agent:
		return orNil(toAgent(r.Agent))
	case *pb.Record_Pool:
		return orNil(toPool(r.Pool))
	case *pb.Record_Service:
		return orNil(toService(r.Service))
	case *pb.Record_Revision:
		return orNil(toRevision(r.Revision))
	case *pb.Record_Deployment:
		return orNil(toDeployment(r.Deployment))
	case *pb.Record_Task:
		return orNil(toTask(r.Task))
	default:
		return nil, errors.New("record of a kind that this version does not know")
	}
}

// orNil keeps a nil pointer from becoming a record that is not nil.
func orNil[R engine.Record](record R, err error) (engine.Record, error) {
	if err != nil {
		return nil, err
	}
	return record, nil
}
