package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	gorilla "github.com/gorilla/websocket"
)

type gorillaSocket struct {
	*gorilla.Conn
	ponged string
}

func gorillaDialer(o options, url string, offer *gorilla.Dialer) dialer {
	return func(path string) (socket, *http.Response, error) {
		c, response, err := offer.Dial(url+path, nil)
		if err != nil {
			return nil, response, err
		}
		c.EnableWriteCompression(o.compress)
		c.SetReadDeadline(time.Now().Add(time.Minute))
		s := &gorillaSocket{Conn: c}
		c.SetPongHandler(func(data string) error {
			s.ponged = data
			return nil
		})
		return s, response, nil
	}
}

// Its buffer makes a frame of every 4096 bytes that go through a writer.
func (s *gorillaSocket) send(text bool, pieces ...[]byte) error {
	kind := gorilla.BinaryMessage
	if text {
		kind = gorilla.TextMessage
	}
	if len(pieces) == 1 {
		return s.WriteMessage(kind, pieces[0])
	}
	writer, err := s.NextWriter(kind)
	if err != nil {
		return err
	}
	return writePieces(writer, pieces)
}

func (s *gorillaSocket) receive() (bool, []byte, error) {
	kind, data, err := s.ReadMessage()
	return kind == gorilla.TextMessage, data, err
}

// A pong is seen while a message is read.
func (s *gorillaSocket) ping() error {
	if err := s.WriteMessage(gorilla.PingMessage, []byte("from the client")); err != nil {
		return err
	}
	if err := s.send(true, []byte("behind the ping")); err != nil {
		return err
	}
	if _, message, err := s.receive(); err != nil || string(message) != "behind the ping" {
		return fmt.Errorf("%q, %w", message, err)
	}
	if s.ponged != "from the client" {
		return fmt.Errorf("pong: %q", s.ponged)
	}
	return nil
}

// The connection ends behind the peer's answer, and not by a reset.
func (s *gorillaSocket) closeWith(code int, reason string) (string, error) {
	if err := s.WriteMessage(gorilla.CloseMessage, gorilla.FormatCloseMessage(code, reason)); err != nil {
		return "", err
	}
	_, message, err := s.receive()
	seen := closeOf(err)
	if seen == "" {
		return "", fmt.Errorf("no close came: %q, %w", message, err)
	}
	if count, err := s.NetConn().Read(make([]byte, 1)); count != 0 || !errors.Is(err, io.EOF) {
		return seen, fmt.Errorf("behind the close: %d bytes, %w", count, err)
	}
	return seen, nil
}

func (s *gorillaSocket) drop() {
	s.Conn.Close()
}
