"""The resolv.conf of a pod (pure).

Source: Kubernetes, "DNS for Services and Pods", Pod's DNS Policy and DNS Config.
"""

from linnet.local.node.spec import Pod


def resolv_conf(pod: Pod, *, dns: str, cluster_domain: str) -> str:
    """The text of /etc/resolv.conf. Policy `Default` asks the cluster DNS too, which asks this machine's."""
    spec, config = pod.spec, pod.spec.dns_config
    servers, searches, options = [dns], list[str](), dict[str, str | None]()
    if spec.dns_policy in ("ClusterFirst", "ClusterFirstWithHostNet"):
        searches = [f"{pod.metadata.namespace}.svc.{cluster_domain}", f"svc.{cluster_domain}", cluster_domain]
        options = {"ndots": "5"}
    elif spec.dns_policy == "None":
        servers = []
    servers += [server for server in config.nameservers if server not in servers]
    searches += [search for search in config.searches if search not in searches]
    options |= {option.name: option.value for option in config.options}
    lines = [f"search {' '.join(searches)}"] if searches else []
    lines += [f"nameserver {server}" for server in servers[:3]]  # the resolver reads no more
    if options:
        words = (name if value is None else f"{name}:{value}" for name, value in options.items())
        lines.append(f"options {' '.join(words)}")
    return "".join(line + "\n" for line in lines)
