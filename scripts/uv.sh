# Sets UV to the pinned uv; sourced by scripts/install and scripts/lock from the root of the repository.
# Taken from the caller's $UV where set (the images mount it), else installed once into .venv-uv with pip: uv comes
# from the package index like everything else, with its hash.
if [ -z "${UV:-}" ]; then
  UV=$PWD/.venv-uv/bin/uv
  if ! cmp -s requirements/uv.txt .venv-uv/installed; then
    printf 'install: uv, the installer (a few seconds)\n' >&2
    python3 -m venv --clear .venv-uv || {
      printf 'install: python3 has no venv module; on Debian and Ubuntu: apt-get install python3-venv\n' >&2
      exit 1
    }
    .venv-uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
    cp requirements/uv.txt .venv-uv/installed
  fi
fi
