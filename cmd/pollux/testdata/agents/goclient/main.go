// Command agentsclient drives every tool through the official Go client, which
// speaks the newest revision, and prints what came back as JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

type credential struct{ value string }

func (c credential) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", c.value)
	return http.DefaultTransport.RoundTrip(r)
}

func main() {
	url, value, running, ended := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	ctx := context.Background()
	told := 0
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, &mcp.ClientOptions{
		ProgressNotificationHandler: func(context.Context, *mcp.ProgressNotificationClientRequest) { told++ },
	})
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: url, HTTPClient: &http.Client{Transport: credential{value}}}, nil)
	if err != nil {
		log.Fatalf("connect: %v", err)
	}
	out := map[string]any{"revision": session.InitializeResult().ProtocolVersion}
	tools, err := session.ListTools(ctx, nil)
	if err != nil {
		log.Fatalf("list: %v", err)
	}
	var names []string
	for _, tool := range tools.Tools {
		names = append(names, tool.Name)
	}
	out["tools"] = names
	call := func(key, name string, arguments map[string]any, token any) {
		params := &mcp.CallToolParams{Name: name, Arguments: arguments}
		if token != nil {
			params.SetProgressToken(token)
		}
		result, err := session.CallTool(ctx, params)
		if err != nil {
			log.Fatalf("%s: %v", name, err)
		}
		out[key] = result
	}
	call("waited", "wait_for_tasks", map[string]any{"tasks": []string{running}}, "token")
	call("got", "get_task", map[string]any{"task": ended}, nil)
	call("page", "get_task", map[string]any{"task": ended, "include_output": true}, nil)
	call("listed", "list_tasks", map[string]any{"limit": 5}, nil)
	call("lost", "wait_for_tasks", map[string]any{"tasks": []string{ended + "-nobody"}}, nil)
	call("wrong", "wait_for_tasks", map[string]any{"tasks": []string{}}, nil)
	call("cancelled", "cancel_task", map[string]any{"task": ended}, nil)
	out["told"] = told
	text, err := json.Marshal(out)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(text))
	if err := session.Close(); err != nil {
		log.Fatalf("close: %v", err)
	}
}
