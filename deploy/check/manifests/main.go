// Command manifests reads what helm template wrote (and compose files) and
// checks it against the types that Kubernetes and Compose decode it into: every
// key known, every type right, and what one object says of another true. The
// config of each ConfigMap is written below --out, for pollux check.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

func main() {
	out := flag.String("out", "", "`directory` for the configs found")
	compose := flag.Bool("compose", false, "the files are Compose files")
	flag.Parse()
	var errs []error
	for _, path := range flag.Args() {
		if *compose {
			errs = append(errs, checkCompose(path))
		} else {
			errs = append(errs, checkManifests(path, *out))
		}
	}
	if err := errors.Join(errs...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func checkCompose(path string) error {
	options, err := cli.NewProjectOptions([]string{path}, cli.WithOsEnv, cli.WithResolvedPaths(true))
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, service := range project.Services {
		for _, volume := range service.Volumes {
			if volume.Type != "bind" {
				continue
			}
			if _, err := os.Stat(volume.Source); err != nil {
				return fmt.Errorf("%s: %s: %w", path, service.Name, err)
			}
		}
	}
	fmt.Printf("%s: %d services\n", path, len(project.Services))
	return nil
}

func checkManifests(path, out string) error {
	objects, err := decode(path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := errors.Join(agree(objects)...); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := writeConfigs(objects, out); err != nil {
		return err
	}
	fmt.Printf("%s: %d objects\n", path, len(objects))
	return nil
}

func decode(path string) ([]runtime.Object, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		apps.AddToScheme, core.AddToScheme, networking.AddToScheme, policy.AddToScheme, gateway.Install, monitoring.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	documents := yaml.NewDocumentDecoder(f)
	var objects []runtime.Object
	for {
		document := make([]byte, 1<<20)
		n, err := documents.Read(document)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		if strings.Trim(string(document[:n]), "-\n ") == "" {
			continue
		}
		object, _, err := decoder.Decode(document[:n], nil, nil)
		if err != nil {
			return nil, fmt.Errorf("%w in\n%s", err, document[:n])
		}
		objects = append(objects, object)
	}
}

// agree returns where objects contradict each other: selectors that select
// nothing, ports and volumes that are not there.
func agree(objects []runtime.Object) (errs []error) {
	i := slices.IndexFunc(objects, func(o runtime.Object) bool { _, ok := o.(*apps.Deployment); return ok })
	if i < 0 {
		return []error{errors.New("no Deployment")}
	}
	pod := objects[i].(*apps.Deployment).Spec.Template
	selects := func(what string, selector map[string]string) {
		if !labels.SelectorFromSet(selector).Matches(labels.Set(pod.Labels)) {
			errs = append(errs, fmt.Errorf("%s does not select the pods", what))
		}
	}
	ports := map[string]bool{}
	for _, port := range pod.Spec.Containers[0].Ports {
		ports[port.Name] = true
	}
	mounted := map[string]bool{}
	for _, mount := range pod.Spec.Containers[0].VolumeMounts {
		mounted[mount.Name] = true
	}
	for _, volume := range pod.Spec.Volumes {
		if !mounted[volume.Name] {
			errs = append(errs, fmt.Errorf("volume %s is not mounted", volume.Name))
		}
		delete(mounted, volume.Name)
	}
	for name := range mounted {
		errs = append(errs, fmt.Errorf("there is no volume %s to mount", name))
	}
	for _, object := range objects {
		switch o := object.(type) {
		case *apps.Deployment:
			selects("the Deployment", o.Spec.Selector.MatchLabels)
		case *policy.PodDisruptionBudget:
			selects("the PodDisruptionBudget", o.Spec.Selector.MatchLabels)
		case *networking.NetworkPolicy:
			selects("the NetworkPolicy", o.Spec.PodSelector.MatchLabels)
		case *core.Service:
			selects("the Service", o.Spec.Selector)
			for _, port := range o.Spec.Ports {
				if !ports[port.TargetPort.StrVal] {
					errs = append(errs, fmt.Errorf("the Service leads to port %s", port.TargetPort.StrVal))
				}
			}
		case *monitoring.ServiceMonitor:
			errs = append(errs, watches(o, objects))
		}
	}
	return errs
}

// watches returns an error unless m selects a Service that has its ports.
func watches(m *monitoring.ServiceMonitor, objects []runtime.Object) error {
	selector, err := meta.LabelSelectorAsSelector(&m.Spec.Selector)
	if err != nil {
		return err
	}
	for _, object := range objects {
		service, ok := object.(*core.Service)
		if !ok || !selector.Matches(labels.Set(service.Labels)) {
			continue
		}
		if slices.ContainsFunc(service.Spec.Ports, func(p core.ServicePort) bool { return p.Name == m.Spec.Endpoints[0].Port }) {
			return nil
		}
	}
	return errors.New("the ServiceMonitor selects no port of a Service")
}

func writeConfigs(objects []runtime.Object, out string) error {
	for _, object := range objects {
		config, ok := object.(*core.ConfigMap)
		if !ok || out == "" {
			continue
		}
		dir := filepath.Join(out, config.Name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		for name, text := range config.Data {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}
