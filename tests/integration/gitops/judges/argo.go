package main

import (
	"context"
	"fmt"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// What a script may use and how long it may take, as in util/lua/lua.go of Argo CD v3.5.7, whose own module needs all of
// Kubernetes to compile. Argo CD opens a part of `os` besides, which tells the time.
var libraries = []struct {
	name string
	open lua.LGFunction
}{
	{lua.LoadLibName, lua.OpenPackage},
	{lua.BaseLibName, lua.OpenBase},
	{lua.TabLibName, lua.OpenTable},
}

const longest = time.Second

// health is the `status` that the script gives the object.
func health(object map[string]interface{}, script string) (string, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for _, library := range libraries {
		call := lua.P{Fn: state.NewFunction(library.open), NRet: 0, Protect: true}
		if err := state.CallByParam(call, lua.LString(library.name)); err != nil {
			return "", err
		}
	}
	within, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	state.SetContext(within)
	state.SetGlobal("obj", valueOf(state, object))
	if err := state.DoString(script); err != nil {
		return "", err
	}
	answer, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return "", fmt.Errorf("it gives no table: %s", state.Get(-1).Type())
	}
	if message := answer.RawGetString("message"); message.Type() != lua.LTString {
		return "", fmt.Errorf("its message is no text: %s", message.Type())
	}
	return answer.RawGetString("status").String(), nil
}

// valueOf is the value of JSON as a script sees it.
func valueOf(state *lua.LState, value interface{}) lua.LValue {
	switch known := value.(type) {
	case bool:
		return lua.LBool(known)
	case int64:
		return lua.LNumber(known)
	case float64:
		return lua.LNumber(known)
	case string:
		return lua.LString(known)
	case []interface{}:
		table := state.CreateTable(len(known), 0)
		for _, item := range known {
			table.Append(valueOf(state, item))
		}
		return table
	case map[string]interface{}:
		table := state.CreateTable(0, len(known))
		for key, item := range known {
			table.RawSetString(key, valueOf(state, item))
		}
		return table
	default:
		return lua.LNil
	}
}
