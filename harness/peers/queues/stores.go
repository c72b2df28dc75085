package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.etcd.io/bbolt"

	queue "github.com/asynclab/asynclab/solutions/14-queue"
)

// A store keeps records on the disk. append returns when its record is there;
// any number of goroutines call it. flood appends n records as fast as it can,
// and returns when all are there.
type store struct {
	name   string
	open   func(dir string) (s opened, err error)
	crowds bool // takes part with 64 producers who wait
	floods bool // takes part when nobody waits
}

type opened struct {
	append func(record []byte) error
	flood  func(record []byte, n int) error
	close  func() error
}

var stores = []store{
	{"lab 14", openLab, true, true},
	{"NATS JetStream, SyncAlways", openJetStream(true), true, true},
	{"bbolt, Batch", openBolt(true), true, true},
	{"bbolt, a transaction for each record", openBolt(false), true, false},
	{"NATS JetStream as it comes: an fsync every 2 minutes", openJetStream(false), true, true},
}

func openLab(dir string) (opened, error) {
	l, err := queue.Open(filepath.Join(dir, "log"), queue.Options{})
	if err != nil {
		return opened{}, err
	}
	ctx := context.Background()
	return opened{
		append: func(r []byte) error { _, err := l.Append(ctx, nil, r); return err },
		flood: func(r []byte, n int) error {
			over := make(chan error, 1)
			var told atomic.Int64
			for range n {
				err := l.AppendAsync(ctx, nil, r, func(_ int64, err error) {
					if told.Add(1) == int64(n) || err != nil {
						select {
						case over <- err:
						default:
						}
					}
				})
				if err != nil {
					return err
				}
			}
			return <-over
		},
		close: func() error { return l.Close(ctx) },
	}, nil
}

// openJetStream embeds a server, and talks to it within the process: no socket
// is in between, but its protocol is.
func openJetStream(always bool) func(dir string) (opened, error) {
	return func(dir string) (opened, error) {
		s, err := server.NewServer(&server.Options{DontListen: true, JetStream: true, StoreDir: dir, SyncAlways: always, NoSigs: true})
		if err != nil {
			return opened{}, err
		}
		go s.Start()
		if !s.ReadyForConnections(10 * time.Second) {
			return opened{}, errors.New("the server does not start")
		}
		c, err := nats.Connect("", nats.InProcessServer(s))
		if err != nil {
			return opened{}, err
		}
		js, err := jetstream.New(c, jetstream.WithPublishAsyncMaxPending(20_000)) // more than flood ever has
		if err != nil {
			return opened{}, err
		}
		ctx := context.Background()
		if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "log", Subjects: []string{"log"}, Storage: jetstream.FileStorage}); err != nil {
			return opened{}, err
		}
		return opened{
			append: func(r []byte) error { _, err := js.Publish(ctx, "log", r); return err },
			flood: func(r []byte, n int) error {
				var all sync.WaitGroup                          // one waits for acknowledgements behind the other
				acks := make(chan jetstream.PubAckFuture, 4000) // as many are on their way
				var failed error
				all.Go(func() {
					for f := range acks {
						select {
						case <-f.Ok():
						case err := <-f.Err():
							failed = errors.Join(failed, err)
						}
					}
				})
				for range n {
					f, err := js.PublishAsync("log", r)
					if err != nil {
						close(acks)
						return err
					}
					acks <- f
				}
				close(acks)
				all.Wait()
				return failed
			},
			close: func() error {
				c.Close()
				s.Shutdown()
				s.WaitForShutdown()
				return nil
			},
		}, nil
	}
}

var bucket = []byte("log")

// openBolt has batched records share a transaction, by bbolt's own Batch.
func openBolt(batched bool) func(dir string) (opened, error) {
	return func(dir string) (opened, error) {
		db, err := bbolt.Open(filepath.Join(dir, "bolt.db"), 0o644, nil)
		if err != nil {
			return opened{}, err
		}
		err = db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket(bucket); return err })
		if err != nil {
			return opened{}, err
		}
		put := func(tx *bbolt.Tx, r []byte) error {
			b := tx.Bucket(bucket)
			b.FillPercent = 1 // keys only grow: its documentation says so
			n, err := b.NextSequence()
			if err != nil {
				return err
			}
			return b.Put(binary.BigEndian.AppendUint64(nil, n), r)
		}
		run := db.Update
		if batched {
			db.MaxBatchSize = crowd // all who wait: its default is 1000 of them, or 10 ms
			run = db.Batch
		}
		return opened{
			append: func(r []byte) error { return run(func(tx *bbolt.Tx) error { return put(tx, r) }) },
			flood: func(r []byte, n int) error { // as many to a transaction as the lab has to a batch
				for n > 0 {
					some := min(n, 9600)
					err := db.Update(func(tx *bbolt.Tx) error {
						for range some {
							if err := put(tx, r); err != nil {
								return err
							}
						}
						return nil
					})
					if err != nil {
						return fmt.Errorf("transaction: %w", err)
					}
					n -= some
				}
				return nil
			},
			close: db.Close,
		}, nil
	}
}
