//! The Kubernetes manifests hold together: what one names, another defines.

use serde_json::Value;

use crate::project::{files, yaml};

fn objects() -> Vec<Value> {
    let mut objects = Vec::new();
    for (name, text) in files("deploy/k8s", ".yaml") {
        for object in yaml(&name, &text) {
            assert!(object["apiVersion"].is_string(), "{name}: no apiVersion");
            assert!(object["kind"].is_string(), "{name}: no kind");
            objects.push(object);
        }
    }
    objects
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    let found: Vec<_> = objects.iter().filter(|object| object["kind"] == kind).collect();
    assert!(!found.is_empty(), "no {kind}");
    found
}

fn named<'a>(objects: &'a [Value], kind: &str, name: &Value) -> &'a Value {
    let found = of_kind(objects, kind).into_iter().find(|o| o["metadata"]["name"] == *name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

#[test]
fn every_resource_that_kustomize_is_told_of_is_there() {
    for folder in ["deploy/k8s/base", "deploy/k8s/example"] {
        let kustomization = crate::project::text(&format!("{folder}/kustomization.yaml"));
        let kustomization = &yaml(folder, &kustomization)[0];
        for resource in kustomization["resources"].as_array().unwrap() {
            let path = crate::project::path(folder).join(resource.as_str().unwrap());
            assert!(path.exists(), "{}", path.display());
        }
    }
}

#[test]
fn each_process_runs_without_rights_and_is_asked_for_its_health() {
    let objects = objects();
    for (kind, name, port) in [
        ("Deployment", "api", 8000),
        ("Deployment", "relay", 9101),
        ("StatefulSet", "projector", 9102),
    ] {
        let deployment = named(&objects, kind, &name.into());
        let pod = &deployment["spec"]["template"]["spec"];
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{name}");
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
        let container = &pod["containers"][0];
        assert_eq!(container["args"][0], name);
        let context = &container["securityContext"];
        assert_eq!(context["readOnlyRootFilesystem"], true, "{name}");
        assert_eq!(context["allowPrivilegeEscalation"], false, "{name}");
        assert_eq!(context["capabilities"]["drop"][0], "ALL", "{name}");
        assert_eq!(container["ports"][0]["containerPort"], port, "{name}");
        for (probe, path) in [("livenessProbe", "/live"), ("readinessProbe", "/ready")] {
            assert_eq!(container[probe]["httpGet"]["path"], path, "{name}: {probe}");
            assert_eq!(container[probe]["httpGet"]["port"], container["ports"][0]["name"]);
        }
        for amount in ["requests", "limits"] {
            assert!(container["resources"][amount]["memory"].is_string(), "{name}: {amount}");
        }
        // The drain ends before Kubernetes loses patience.
        assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() >= 30, "{name}");
        for source in container["envFrom"].as_array().unwrap() {
            let map = &source["configMapRef"]["name"];
            let secret = &source["secretRef"]["name"];
            assert!(map.is_string() || secret.is_string(), "{name}: {source}");
        }

        let labels = &deployment["spec"]["template"]["metadata"]["labels"];
        assert_eq!(deployment["spec"]["selector"]["matchLabels"], *labels, "{name}");
        let service = named(&objects, "Service", &name.into());
        assert_eq!(service["spec"]["selector"], *labels, "{name}: the service finds its pods");
        let budget = named(&objects, "PodDisruptionBudget", &name.into());
        assert_eq!(budget["spec"]["selector"]["matchLabels"], *labels, "{name}: its budget");
    }
}

#[test]
fn a_leader_and_a_standby_never_share_a_node_or_a_disruption() {
    let objects = objects();
    let relay = named(&objects, "Deployment", &"relay".into());
    assert_eq!(relay["spec"]["replicas"], 2);
    let spread = &relay["spec"]["template"]["spec"]["topologySpreadConstraints"][0];
    assert_eq!(spread["topologyKey"], "kubernetes.io/hostname");
    let budget = named(&objects, "PodDisruptionBudget", &"relay".into());
    assert_eq!(budget["spec"]["maxUnavailable"], 1);
}

#[test]
fn prometheus_and_the_autoscalers_find_what_they_name() {
    let objects = objects();
    let monitor = of_kind(&objects, "ServiceMonitor")[0];
    let part_of = &monitor["spec"]["selector"]["matchLabels"]["app.kubernetes.io/part-of"];
    for name in ["api", "relay", "projector"] {
        let service = named(&objects, "Service", &name.into());
        assert_eq!(service["metadata"]["labels"]["app.kubernetes.io/part-of"], *part_of, "{name}");
        let port = &service["spec"]["ports"][0]["name"];
        assert_eq!(monitor["spec"]["endpoints"][0]["port"], *port, "{name}");
    }
    for scaler in of_kind(&objects, "HorizontalPodAutoscaler") {
        let target = &scaler["spec"]["scaleTargetRef"];
        named(&objects, target["kind"].as_str().unwrap(), &target["name"]);
    }
}
