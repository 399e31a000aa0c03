package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/http2"
)

// stream makes one of HTTP/2 look like the connection that a handshake of HTTP/1 leaves behind.
type stream struct {
	io.Reader
	write func([]byte) (int, error)
	close func() error
}

func (s *stream) Write(data []byte) (int, error)     { return s.write(data) }
func (s *stream) Close() error                       { return s.close() }
func (s *stream) LocalAddr() net.Addr                { return &net.TCPAddr{} }
func (s *stream) RemoteAddr() net.Addr               { return &net.TCPAddr{} }
func (s *stream) SetDeadline(t time.Time) error      { return nil }
func (s *stream) SetReadDeadline(t time.Time) error  { return nil }
func (s *stream) SetWriteDeadline(t time.Time) error { return nil }

// extendedConnect is an http.RoundTripper that takes the handshake of HTTP/1 and makes that of RFC 8441 of it.
type extendedConnect struct {
	transport *http2.Transport
}

func newExtendedConnect(o options, config *tls.Config) *extendedConnect {
	return &extendedConnect{&http2.Transport{
		AllowHTTP: true,
		DialTLS: func(network, _ string, _ *tls.Config) (net.Conn, error) {
			if config == nil {
				return net.Dial(network, "127.0.0.1:"+o.port)
			}
			offer := config.Clone()
			offer.NextProtos = []string{"h2"}
			return tls.Dial(network, "127.0.0.1:"+o.port, offer)
		}}}
}

func (e *extendedConnect) RoundTrip(r *http.Request) (*http.Response, error) {
	body, writer := io.Pipe()
	request := r.Clone(r.Context())
	key := request.Header.Get("Sec-WebSocket-Key")
	request.Method, request.Body, request.ContentLength = http.MethodConnect, body, -1
	request.Header.Set(":protocol", "websocket")
	for _, name := range []string{"Connection", "Upgrade", "Sec-WebSocket-Key"} {
		request.Header.Del(name)
	}
	response, err := e.transport.RoundTrip(request)
	if err != nil || response.StatusCode != http.StatusOK {
		return response, err
	}
	if response.ProtoMajor != 2 || response.Header.Get("Sec-WebSocket-Accept") != "" {
		return nil, errors.New("no answer of RFC 8441")
	}
	response.StatusCode = http.StatusSwitchingProtocols
	response.Header.Set("Connection", "Upgrade")
	response.Header.Set("Upgrade", "websocket")
	response.Header.Set("Sec-WebSocket-Accept", acceptOf(key))
	answer := response.Body
	response.Body = &stream{Reader: answer, write: writer.Write, close: func() error {
		writer.Close()
		// To close the answer's body at once would reset the stream, and what was just written may be lost.
		late := time.AfterFunc(5*time.Second, func() { log.Fatal("the stream does not end") })
		defer late.Stop()
		io.Copy(io.Discard, answer)
		return answer.Close()
	}}
	return response, nil
}

// overHTTP2 gives a handler of HTTP/1's handshake the requests of RFC 8441; it may not return before the socket is over.
func overHTTP2(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Header.Get(":protocol") != "websocket" || r.Header.Get("Sec-WebSocket-Key") != "" {
			http.Error(w, "not a websocket of RFC 8441", http.StatusBadRequest)
			return
		}
		r.Method = http.MethodGet
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "websocket")
		r.Header.Set("Sec-WebSocket-Key", "MTIzNDU2Nzg5MDEyMzQ1Ng==")
		next.ServeHTTP(&agreement{ResponseWriter: w, body: r.Body}, r)
	})
}

// agreement is the answer to such a request: its 101 becomes 200, and the connection behind it is the stream.
type agreement struct {
	http.ResponseWriter
	body io.ReadCloser
}

func (a *agreement) WriteHeader(status int) {
	if status == http.StatusSwitchingProtocols {
		status = http.StatusOK
		for _, name := range []string{"Connection", "Upgrade", "Sec-WebSocket-Accept"} {
			a.Header().Del(name)
		}
	}
	a.ResponseWriter.WriteHeader(status)
	a.ResponseWriter.(http.Flusher).Flush()
}

func (a *agreement) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	connection := &stream{Reader: a.body, close: a.body.Close, write: func(data []byte) (int, error) {
		written, err := a.ResponseWriter.Write(data)
		a.ResponseWriter.(http.Flusher).Flush()
		return written, err
	}}
	return connection, bufio.NewReadWriter(bufio.NewReader(connection), bufio.NewWriter(connection)), nil
}
