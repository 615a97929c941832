package main

import (
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
	"k8s.io/klog/v2"
)

// Where the host-path provisioner makes the folders of volumes: fixed in Kubernetes' source.
const volumes = "/tmp/hostpath_pv"

// openVolumes lets everybody write into each new volume. The provisioner makes its folder for root alone, and the
// kubelet does not apply a pod's fsGroup to a host path as it does to the volumes of a real cluster, so that a
// pod without root could not use it. The folder is open a millisecond after it was made, long before a pod has it.
func openVolumes() {
	if err := watchVolumes(); err != nil {
		klog.Fatalf("cannot open the volumes in %s for all users: %v", volumes, err)
	}
}

func watchVolumes() error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(volumes, 0o755); err != nil {
		return err
	}
	if err := watcher.Add(volumes); err != nil {
		return err
	}
	// Those made while no controller manager ran, or before this line.
	present, err := filepath.Glob(volumes + "/*")
	if err != nil {
		return err
	}
	for _, volume := range present {
		open(volume)
	}
	for {
		select {
		case event := <-watcher.Events:
			if event.Has(fsnotify.Create) {
				open(event.Name)
			}
		case err := <-watcher.Errors:
			return err
		}
	}
}

func open(volume string) {
	if err := os.Chmod(volume, 0o777); err != nil && !os.IsNotExist(err) {
		klog.Errorf("cannot open a volume for all users: %v", err)
	}
}
