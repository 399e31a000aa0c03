package main

import (
	"context"
	"errors"
	"net"
	"net/http"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
	"golang.org/x/net/http2"
)

// What a server saw of a socket that the peer closed.
type ended struct {
	Path     string `json:"path"`
	Protocol string `json:"protocol"`
	Code     int    `json:"code"`
	Reason   string `json:"reason"`
}

func serve(o options) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/refused", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", http.StatusForbidden) })
	mux.HandleFunc("/", serveCoder)
	if o.library == "gorilla" {
		mux = http.NewServeMux()
		mux.HandleFunc("/refused", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", http.StatusForbidden) })
		mux.HandleFunc("/", serveGorilla)
	}
	if !o.http2 {
		return http.ListenAndServe(o.listen, mux)
	}
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return err
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go (&http2.Server{}).ServeConn(connection, &http2.ServeConnOpts{Handler: overHTTP2(mux)})
	}
}

func serveCoder(w http.ResponseWriter, r *http.Request) {
	c, err := coder.Accept(w, r, &coder.AcceptOptions{
		Subprotocols: []string{"chat"}, InsecureSkipVerify: true, CompressionMode: coder.CompressionContextTakeover})
	if err != nil {
		return
	}
	defer c.CloseNow()
	c.SetReadLimit(-1)
	ctx := context.Background()
	for {
		kind, message, err := c.Read(ctx)
		if err != nil {
			var closed coder.CloseError
			errors.As(err, &closed)
			printLine(ended{r.URL.Path, r.Proto, int(closed.Code), closed.Reason})
			return
		}
		switch string(message) {
		case "ping me":
			go func() {
				if c.Ping(ctx) == nil {
					c.Write(ctx, coder.MessageText, []byte("ponged"))
				}
			}()
		case "close me":
			// The read that goes on sees the answer.
			go c.Close(4001, "the server is done")
		default:
			if c.Write(ctx, kind, message) != nil {
				return
			}
		}
	}
}

func serveGorilla(w http.ResponseWriter, r *http.Request) {
	upgrader := gorilla.Upgrader{
		Subprotocols: []string{"chat"}, EnableCompression: true, CheckOrigin: func(*http.Request) bool { return true }}
	c, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	c.SetPongHandler(func(data string) error {
		if data != "from the server" {
			return errors.New("another pong")
		}
		return c.WriteMessage(gorilla.TextMessage, []byte("ponged"))
	})
	for {
		kind, message, err := c.ReadMessage()
		if err != nil {
			var closed *gorilla.CloseError
			if errors.As(err, &closed) {
				printLine(ended{r.URL.Path, r.Proto, closed.Code, closed.Text})
			} else {
				printLine(ended{r.URL.Path, r.Proto, -1, err.Error()})
			}
			return
		}
		switch string(message) {
		case "ping me":
			err = c.WriteMessage(gorilla.PingMessage, []byte("from the server"))
		case "close me":
			err = c.WriteMessage(gorilla.CloseMessage, gorilla.FormatCloseMessage(4001, "the server is done"))
		default:
			err = c.WriteMessage(kind, message)
		}
		if err != nil {
			return
		}
	}
}
