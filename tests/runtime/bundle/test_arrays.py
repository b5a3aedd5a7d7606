import io
import zipfile

import pytest

from speechtl.runtime.bundle.arrays import read_arrays


@pytest.mark.parametrize("text", ["{'descr': '<f4', (", "{'descr': '<f4',\0", "{", '"""', "\x9e"])
def test_a_header_that_is_no_python_is_refused_with_a_sentence(text):
    header = text.encode("latin-1").ljust(117) + b"\n"
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("audio.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(ValueError, match="audio has no header of an array"):
        read_arrays(content.getvalue(), {"audio": (1, 10)})
