package main

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
)

// What one session saw. Of messages: what kind of frame, and the SHA-256 of what came back.
type session struct {
	Error       string            `json:"error"`
	Refused     int               `json:"refused"`
	Status      int               `json:"status"`
	Subprotocol string            `json:"subprotocol"`
	Extensions  string            `json:"extensions"`
	Messages    map[string]string `json:"messages"`
	Pong        bool              `json:"pong"`
	Ponged      string            `json:"ponged"`
	ClientClose string            `json:"client_close"`
	ServerClose string            `json:"server_close"`
}

// A socket of either library: the same for both.
type socket interface {
	send(text bool, pieces ...[]byte) error
	receive() (text bool, message []byte, err error)
	ping() error
	closeWith(code int, reason string) (string, error)
	drop()
}

// A message in fragments, as the library makes them of these.
func writePieces(message io.WriteCloser, pieces [][]byte) error {
	for _, piece := range pieces {
		if _, err := message.Write(piece); err != nil {
			return err
		}
	}
	return message.Close()
}

type dialer func(path string) (socket, *http.Response, error)

func acceptOf(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

func runClient(o options) {
	dial := dialerOf(o)
	var all sync.WaitGroup
	for number := 0; number < o.sessions; number++ {
		all.Add(1)
		go func() {
			defer all.Done()
			var seen session
			if err := seen.run(dial); err != nil {
				seen.Error = err.Error()
			}
			printLine(seen)
		}()
	}
	all.Wait()
}

func (s *session) run(dial dialer) error {
	if _, response, err := dial("/refused"); err == nil || response == nil {
		return fmt.Errorf("/refused: %v", err)
	} else {
		s.Refused = response.StatusCode
	}
	c, response, err := dial("/by_client")
	if err != nil {
		return err
	}
	defer c.drop()
	s.Status, s.Subprotocol = response.StatusCode, response.Header.Get("Sec-WebSocket-Protocol")
	s.Extensions = response.Header.Get("Sec-WebSocket-Extensions")
	if err := s.talk(c); err != nil {
		return err
	}
	if s.ClientClose, err = c.closeWith(4000, "the client is done"); err != nil {
		return fmt.Errorf("client's close: %w", err)
	}
	return s.beClosed(dial)
}

func (s *session) talk(c socket) error {
	large := make([]byte, 1<<20)
	for i := range large {
		large[i] = byte(i*31 + i>>8)
	}
	var pieces [][]byte
	for i := 0; i < 20; i++ {
		pieces = append(pieces, large[i*5000:(i+1)*5000])
	}
	s.Messages = map[string]string{}
	for _, each := range []struct {
		name   string
		text   bool
		pieces [][]byte
	}{
		{"text", true, [][]byte{[]byte("gr\u00fc\u00df \U0001f4a9")}},
		{"empty", true, [][]byte{{}}},
		{"binary", false, [][]byte{large}},
		{"fragmented", false, pieces},
		{"again", false, [][]byte{large}},
	} {
		if err := c.send(each.text, each.pieces...); err != nil {
			return fmt.Errorf("%s: %w", each.name, err)
		}
		text, message, err := c.receive()
		if err != nil {
			return fmt.Errorf("%s: %w", each.name, err)
		}
		sum := sha256.Sum256(message)
		s.Messages[each.name] = fmt.Sprintf("%s %d %s", map[bool]string{true: "text", false: "binary"}[text], len(message), hex.EncodeToString(sum[:]))
	}
	if err := c.ping(); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	s.Pong = true
	if err := c.send(true, []byte("ping me")); err != nil {
		return err
	}
	_, message, err := c.receive()
	s.Ponged = string(message)
	return err
}

func (s *session) beClosed(dial dialer) error {
	c, _, err := dial("/by_server")
	if err != nil {
		return err
	}
	defer c.drop()
	if err := c.send(true, []byte("close me")); err != nil {
		return err
	}
	_, message, err := c.receive()
	if s.ServerClose = closeOf(err); s.ServerClose == "" {
		return fmt.Errorf("server's close: %q, %w", message, err)
	}
	return nil
}

func closeOf(err error) string {
	var ofCoder coder.CloseError
	var ofGorilla *gorilla.CloseError
	switch {
	case errors.As(err, &ofCoder):
		return fmt.Sprint(int(ofCoder.Code), " ", ofCoder.Reason)
	case errors.As(err, &ofGorilla):
		return fmt.Sprint(ofGorilla.Code, " ", ofGorilla.Text)
	}
	return ""
}

func tlsConfig(o options) *tls.Config {
	if o.ca == "" {
		return nil
	}
	text, err := os.ReadFile(o.ca)
	if err != nil {
		log.Fatal(err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "server.test"}
	config.RootCAs.AppendCertsFromPEM(text)
	return config
}

func dialerOf(o options) dialer {
	scheme := "ws"
	if o.ca != "" {
		scheme = "wss"
	}
	url := scheme + "://server.test:" + o.port
	toPeer := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:"+o.port)
	}
	if o.library == "gorilla" {
		return gorillaDialer(o, url, &gorilla.Dialer{NetDialContext: toPeer, TLSClientConfig: tlsConfig(o), EnableCompression: o.compress,
			Subprotocols: []string{"other", "chat"}, WriteBufferSize: 4096, HandshakeTimeout: 20 * time.Second})
	}
	var transport http.RoundTripper = &http.Transport{DialContext: toPeer, TLSClientConfig: tlsConfig(o)}
	if o.http2 {
		transport = newExtendedConnect(o, tlsConfig(o))
	}
	offer := &coder.DialOptions{HTTPClient: &http.Client{Transport: transport}, Subprotocols: []string{"other", "chat"},
		CompressionMode: coder.CompressionDisabled}
	if o.compress {
		offer.CompressionMode = coder.CompressionContextTakeover
	}
	return coderDialer(url, offer)
}
