package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	coder "github.com/coder/websocket"
)

type coderMessage struct {
	kind coder.MessageType
	data []byte
	err  error
}

// coderSocket reads all the time: that is what answers pings and takes pongs.
type coderSocket struct {
	*coder.Conn
	ctx  context.Context
	stop context.CancelFunc
	read chan coderMessage
}

func coderDialer(url string, offer *coder.DialOptions) dialer {
	return func(path string) (socket, *http.Response, error) {
		ctx, stop := context.WithTimeout(context.Background(), time.Minute)
		c, response, err := coder.Dial(ctx, url+path, offer)
		if err != nil {
			stop()
			return nil, response, err
		}
		c.SetReadLimit(-1)
		s := &coderSocket{c, ctx, stop, make(chan coderMessage, 8)}
		go s.readAll()
		return s, response, nil
	}
}

func (s *coderSocket) readAll() {
	for {
		kind, data, err := s.Conn.Read(s.ctx)
		s.read <- coderMessage{kind, data, err}
		if err != nil {
			return
		}
	}
}

func (s *coderSocket) send(text bool, pieces ...[]byte) error {
	kind := coder.MessageBinary
	if text {
		kind = coder.MessageText
	}
	if len(pieces) == 1 {
		return s.Conn.Write(s.ctx, kind, pieces[0])
	}
	writer, err := s.Conn.Writer(s.ctx, kind)
	if err != nil {
		return err
	}
	return writePieces(writer, pieces)
}

func (s *coderSocket) receive() (bool, []byte, error) {
	message := <-s.read
	return message.kind == coder.MessageText, message.data, message.err
}

func (s *coderSocket) ping() error {
	return s.Conn.Ping(s.ctx)
}

func (s *coderSocket) closeWith(code int, reason string) (string, error) {
	if err := s.Conn.Close(coder.StatusCode(code), reason); err != nil {
		return "", err
	}
	message := <-s.read
	if seen := closeOf(message.err); seen != "" {
		return seen, nil
	}
	return "", fmt.Errorf("no close came: %w", message.err)
}

func (s *coderSocket) drop() {
	s.Conn.CloseNow()
	s.stop()
}
