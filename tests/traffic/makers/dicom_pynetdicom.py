"""pynetdicom against itself."""

from __future__ import annotations

from collections.abc import Iterator

from making import SERVER, Made
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    CTImageStorage,
    PatientRootQueryRetrieveInformationModelFind,
    Verification,
)

KINDS = (Verification, CTImageStorage, PatientRootQueryRetrieveInformationModelFind)


def find(_: evt.Event) -> Iterator[tuple[int, None]]:
    """Nobody is found."""
    yield 0, None


made = Made("dicom")
server = AE(ae_title="ARCHIVE")
client = AE(ae_title="SCANNER")
for kind in KINDS:
    server.add_supported_context(kind)
    client.add_requested_context(kind)
handlers = [
    (evt.EVT_C_ECHO, lambda _: 0),
    (evt.EVT_C_STORE, lambda _: 0xA700),  # out of resources
    (evt.EVT_C_FIND, find),
]
listening = server.start_server((SERVER, 11112), block=False, evt_handlers=handlers)
talk = client.associate(SERVER, 11112, ae_title="ARCHIVE")
assert talk.is_established
made.call("associate", "ARCHIVE")
made.claim("dicom_ae_title", "ARCHIVE")
made.claim("dicom_ae_title", "SCANNER")
made.claim("dicom_implementation", client.implementation_version_name)
assert talk.send_c_echo().Status == 0
made.call("c-echo", Verification)
image = Dataset()
image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, "1.2.3.4"
image.file_meta = FileMetaDataset()
image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
assert talk.send_c_store(image).Status == 0xA700
made.call("c-store", CTImageStorage, "error")
asked = Dataset()
asked.QueryRetrieveLevel, asked.PatientID = "PATIENT", "*"
for _ in talk.send_c_find(asked, PatientRootQueryRetrieveInformationModelFind):
    pass
made.call("c-find", PatientRootQueryRetrieveInformationModelFind)
talk.release()
made.call("release")
listening.shutdown()
made.tell()
