"""What OCI specifies: registries, manifests, referrers. Source: distribution-spec, image-spec.

It knows nothing of Harbor, nor of what is done with the content.

    registry, registry_answers   the distribution API (`/v2/`); what a registry's answers mean
    tokens                       how a registry wants to be logged in to
    manifest, blob_reader        content as OCI names it; a blob on its way, hashed
    downloads                    a blob from a registry, over lines that break
    uploads, chunks, endpoint    a blob to a registry: at once, in chunks; where it takes them
    referrers                    lists of referrers, where a registry keeps none itself
    layout                       a repository as a directory
    names                        what may become a part of a URL or a path
"""
