package config

import (
	"reflect"
	"slices"
	"strings"
)

// The variables that other code asks for by name. Variables has all of them.
const (
	EnvDomain           = "ONELOGIN_DOMAIN"
	EnvClientID         = "ONELOGIN_CLIENT_ID"
	EnvClientSecret     = "ONELOGIN_CLIENT_SECRET"
	EnvClientSecretFile = "ONELOGIN_CLIENT_SECRET_FILE"
	EnvBrokers          = "KAFKA_BROKERS"
	EnvTLS              = "KAFKA_TLS"
)

// Variable is one of the environment that stands for a key of the configuration
// file where there is none.
type Variable struct {
	// Name is by rule: the key in capitals with _ for each dot, behind
	// ONELOGIN_KAFKA_. What is under kafka begins with KAFKA_ instead, and what is
	// a connector's with ONELOGIN_.
	Name string
	// Key is the path in the file, "kafka.sasl.password_file"; "[]" stands behind
	// the name of a list, of which the environment has one element.
	Key string
	// Secret tells that the value, and not the file that it may name, is one.
	Secret bool
}

// Variables returns all, in the order of Config's fields. There is none for what
// is a table, nor for what one connector and one key need not say.
func Variables() []Variable { return variablesOf(reflect.TypeFor[Config](), "") }

func variablesOf(section reflect.Type, path string) []Variable {
	var all []Variable
	for i := range section.NumField() {
		field := section.Field(i)
		name := field.Tag.Get("yaml")
		key := strings.TrimPrefix(path+"."+name, ".")
		kind := field.Type
		switch {
		case name == "-" || kind.Kind() == reflect.Map || slices.Contains([]string{"connectors[].type", "connectors[].proxy", "secrets.keys[].active"}, key):
			continue
		case kind == reflect.TypeFor[Secret]():
			all = append(all, variable(key, true), variable(key+"_file", false))
			continue
		case kind.Kind() == reflect.Slice && kind.Elem().Kind() == reflect.Struct:
			key, kind = key+"[]", kind.Elem()
		case kind == reflect.TypeFor[*TLS]():
			// A section that says something without a key in it.
			all = append(all, variable(key, false))
			kind = kind.Elem()
		case kind.Kind() == reflect.Pointer:
			kind = kind.Elem()
		}
		if kind.Kind() != reflect.Struct || kind == reflect.TypeFor[StartFrom]() {
			all = append(all, variable(key, false))
			continue
		}
		all = append(all, variablesOf(kind, key)...)
	}
	return all
}

func variable(key string, secret bool) Variable {
	name, connector := strings.CutPrefix(key, "connectors[].")
	switch {
	case connector:
		name = "onelogin." + name
	case !strings.HasPrefix(key, "kafka."):
		name = "onelogin.kafka." + key
	}
	return Variable{Name: strings.ToUpper(strings.NewReplacer(".", "_", "[]", "").Replace(name)), Key: key, Secret: secret}
}
