//! Names of interfaces and of their methods.
//!
//! Sources: [MS-RPCE] §1.9, and for each interface the "Message Processing Events" clause of its
//! own document (named beside its row); DCOM: [MS-DCOM] §1.9; OPC Data Access Custom Interface
//! 2.05, appendix "OPC IDL Specification"; PROFINET: IEC 61158-6-10 §4.10.3.

use crate::out::Action;

/// Interface UUIDs and the names by which their documents call them.
const INTERFACES: &[(&str, &str)] = &[
    ("e1af8308-5d1f-11c9-91a4-08002b14a0fa", "epmapper"), // C706 appendix O
    ("afa8bd80-7d8a-11c9-bef4-08002b102989", "mgmt"),     // C706 appendix Q
    ("367abb81-9844-35f1-ad32-98f038001003", "svcctl"),   // [MS-SCMR]
    ("12345778-1234-abcd-ef00-0123456789ac", "samr"),     // [MS-SAMR]
    ("12345778-1234-abcd-ef00-0123456789ab", "lsarpc"),   // [MS-LSAD], [MS-LSAT]
    ("4b324fc8-1670-01d3-1278-5a47bf6ee188", "srvsvc"),   // [MS-SRVS]
    ("6bffd098-a112-3610-9833-46c3f87e345a", "wkssvc"),   // [MS-WKST]
    ("12345678-1234-abcd-ef00-01234567cffb", "netlogon"), // [MS-NRPC]
    ("338cd001-2244-31f1-aaaa-900038001003", "winreg"),   // [MS-RRP]
    ("12345678-1234-abcd-ef00-0123456789ab", "spoolss"),  // [MS-RPRN]
    ("1ff70682-0a51-30e8-076d-740be8cee98b", "atsvc"),    // [MS-TSCH]
    ("378e52b0-c0a9-11cf-822d-00aa0051e40f", "sasec"),    // [MS-TSCH]
    ("86d35949-83c9-4044-b424-db363231fd0c", "ITaskSchedulerService"), // [MS-TSCH]
    ("e3514235-4b06-11d1-ab04-00c04fc2dcd2", "drsuapi"),  // [MS-DRSR]
    ("82273fdc-e32a-18c3-3f78-827929dc23ea", "eventlog"), // [MS-EVEN]
    ("f6beaff7-1e19-4fbb-9f8f-b89e2018337c", "IEventService"), // [MS-EVEN6]
    ("894de0c0-0d55-11d3-a322-00c04fa321a1", "InitShutdown"), // [MS-RSP]
    ("3919286a-b10c-11d0-9ba8-00c04fd92ef5", "dssetup"),  // [MS-DSSP]
    ("c681d488-d850-11d0-8c52-00c04fd90f7e", "efsrpc"),   // [MS-EFSR]
    ("df1941c5-fe89-4e79-bf10-463657acf44d", "efsrpc"),   // [MS-EFSR]
    ("99fcfec4-5260-101b-bbcb-00aa0021347a", "IObjectExporter"), // [MS-DCOM]
    ("000001a0-0000-0000-c000-000000000046", "IRemoteSCMActivator"), // [MS-DCOM]
    ("4d9f4ab8-7d1c-11cf-861e-0020af6e7c57", "IActivation"), // [MS-DCOM]
    ("00000131-0000-0000-c000-000000000046", "IRemUnknown"), // [MS-DCOM]
    ("00000143-0000-0000-c000-000000000046", "IRemUnknown2"), // [MS-DCOM]
    ("f309ad18-d86a-11d0-a075-00c04fb68820", "IWbemLevel1Login"), // [MS-WMI]
    ("9556dc99-828c-11cf-a37e-00aa003240c7", "IWbemServices"), // [MS-WMI]
    ("13486d50-4821-11d2-a494-3cb306c10000", "IOPCServerList"), // OPC Common 1.1
    ("f31dfde2-07b6-11d2-b2d8-0060083ba1fb", "IOPCCommon"), // OPC Common 1.1
    ("39c13a4d-011e-11d0-9675-0020afd8adb3", "IOPCServer"), // OPC DA 2.05
    ("39c13a4f-011e-11d0-9675-0020afd8adb3", "IOPCBrowseServerAddressSpace"),
    ("39c13a50-011e-11d0-9675-0020afd8adb3", "IOPCGroupStateMgt"),
    ("39c13a52-011e-11d0-9675-0020afd8adb3", "IOPCSyncIO"),
    ("39c13a54-011e-11d0-9675-0020afd8adb3", "IOPCItemMgt"),
    ("39c13a70-011e-11d0-9675-0020afd8adb3", "IOPCDataCallback"),
    ("39c13a71-011e-11d0-9675-0020afd8adb3", "IOPCAsyncIO2"),
    ("dea00001-6c97-11d1-8271-00a02442df7d", "PNIO-Device"), // IEC 61158-6-10
    ("dea00002-6c97-11d1-8271-00a02442df7d", "PNIO-Controller"),
    ("dea00003-6c97-11d1-8271-00a02442df7d", "PNIO-Supervisor"),
    ("dea00004-6c97-11d1-8271-00a02442df7d", "PNIO-ParameterServer"),
];

/// The interface's name; the UUID itself where none is known.
pub fn interface(uuid: &str) -> &str {
    INTERFACES.iter().find(|(known, _)| *known == uuid).map_or(uuid, |(_, name)| name)
}

/// Name and class of a method, by interface and operation number. DCOM interfaces count from 3,
/// the first three being those of IUnknown.
#[rustfmt::skip]
pub fn method(interface: &str, opnum: u16) -> (&'static str, Action) {
    use Action::{
        Authenticate, Configuration, Control, Diagnostics, Identify, Read, Session, Subscribe,
        Write,
    };
    match (interface, opnum) {
        ("epmapper", 0) => ("ept_insert", Configuration),
        ("epmapper", 1) => ("ept_delete", Configuration),
        ("epmapper", 2) => ("ept_lookup", Read),
        ("epmapper", 3) => ("ept_map", Read),
        ("epmapper", 4) => ("ept_lookup_handle_free", Session),
        ("mgmt", 0) => ("rpc__mgmt_inq_if_ids", Read),
        ("mgmt", 2) => ("rpc__mgmt_is_server_listening", Diagnostics),
        // [MS-SCMR] §3.1.4
        ("svcctl", 0) => ("RCloseServiceHandle", Session),
        ("svcctl", 1) => ("RControlService", Control),
        ("svcctl", 2) => ("RDeleteService", Configuration),
        ("svcctl", 6) => ("RQueryServiceStatus", Read),
        ("svcctl", 11) => ("RChangeServiceConfigW", Configuration),
        ("svcctl", 12) => ("RCreateServiceW", Configuration),
        ("svcctl", 13) => ("REnumDependentServicesW", Read),
        ("svcctl", 14) => ("REnumServicesStatusW", Read),
        ("svcctl", 15) => ("ROpenSCManagerW", Session),
        ("svcctl", 16) => ("ROpenServiceW", Session),
        ("svcctl", 17) => ("RQueryServiceConfigW", Read),
        ("svcctl", 19) => ("RStartServiceW", Control),
        ("svcctl", 23) => ("RChangeServiceConfigA", Configuration),
        ("svcctl", 24) => ("RCreateServiceA", Configuration),
        ("svcctl", 26) => ("REnumServicesStatusA", Read),
        ("svcctl", 27) => ("ROpenSCManagerA", Session),
        ("svcctl", 28) => ("ROpenServiceA", Session),
        ("svcctl", 31) => ("RStartServiceA", Control),
        ("svcctl", 37) => ("RChangeServiceConfig2W", Configuration),
        ("svcctl", 39) => ("RQueryServiceConfig2W", Read),
        ("svcctl", 40) => ("RQueryServiceStatusEx", Read),
        ("svcctl", 42) => ("REnumServicesStatusExW", Read),
        ("svcctl", 44) => ("RCreateServiceWOW64A", Configuration),
        ("svcctl", 45) => ("RCreateServiceWOW64W", Configuration),
        // [MS-SAMR] §3.1.5
        ("samr", 0) => ("SamrConnect", Session),
        ("samr", 1) => ("SamrCloseHandle", Session),
        ("samr", 5) => ("SamrLookupDomainInSamServer", Read),
        ("samr", 6) => ("SamrEnumerateDomainsInSamServer", Read),
        ("samr", 7) => ("SamrOpenDomain", Session),
        ("samr", 8) => ("SamrQueryInformationDomain", Read),
        ("samr", 13) => ("SamrEnumerateUsersInDomain", Read),
        ("samr", 17) => ("SamrLookupNamesInDomain", Read),
        ("samr", 34) => ("SamrOpenUser", Session),
        ("samr", 35) => ("SamrDeleteUser", Configuration),
        ("samr", 36) => ("SamrQueryInformationUser", Read),
        ("samr", 37) => ("SamrSetInformationUser", Configuration),
        ("samr", 50) => ("SamrCreateUser2InDomain", Configuration),
        ("samr", 55) => ("SamrUnicodeChangePasswordUser2", Configuration),
        ("samr", 57) => ("SamrConnect2", Session),
        ("samr", 58) => ("SamrSetInformationUser2", Configuration),
        ("samr", 62) => ("SamrConnect4", Session),
        ("samr", 64) => ("SamrConnect5", Session),
        // [MS-LSAD] §3.1.4, [MS-LSAT] §3.1.4
        ("lsarpc", 0) => ("LsarClose", Session),
        ("lsarpc", 6) => ("LsarOpenPolicy", Session),
        ("lsarpc", 7) => ("LsarQueryInformationPolicy", Read),
        ("lsarpc", 14) => ("LsarLookupNames", Read),
        ("lsarpc", 15) => ("LsarLookupSids", Read),
        ("lsarpc", 44) => ("LsarOpenPolicy2", Session),
        ("lsarpc", 46) => ("LsarQueryInformationPolicy2", Read),
        ("lsarpc", 57) => ("LsarLookupSids2", Read),
        ("lsarpc", 58) => ("LsarLookupNames2", Read),
        // [MS-SRVS] §3.1.4
        ("srvsvc", 12) => ("NetrSessionEnum", Read),
        ("srvsvc", 14) => ("NetrShareAdd", Configuration),
        ("srvsvc", 15) => ("NetrShareEnum", Read),
        ("srvsvc", 16) => ("NetrShareGetInfo", Read),
        ("srvsvc", 18) => ("NetrShareDel", Configuration),
        ("srvsvc", 21) => ("NetrServerGetInfo", Identify),
        ("srvsvc", 28) => ("NetrRemoteTOD", Read),
        ("srvsvc", 31) => ("NetprPathCanonicalize", Read),
        ("srvsvc", 32) => ("NetprPathCompare", Read),
        // [MS-WKST] §3.2.4
        ("wkssvc", 0) => ("NetrWkstaGetInfo", Identify),
        ("wkssvc", 2) => ("NetrWkstaUserEnum", Read),
        // [MS-NRPC] §3.5.4
        ("netlogon", 2) => ("NetrLogonSamLogon", Authenticate),
        ("netlogon", 4) => ("NetrServerReqChallenge", Authenticate),
        ("netlogon", 15) => ("NetrServerAuthenticate2", Authenticate),
        ("netlogon", 21) => ("NetrLogonGetCapabilities", Read),
        ("netlogon", 26) => ("NetrServerAuthenticate3", Authenticate),
        ("netlogon", 29) => ("NetrLogonGetDomainInfo", Read),
        ("netlogon", 30) => ("NetrServerPasswordSet2", Configuration),
        ("netlogon", 34) => ("DsrGetDcNameEx2", Read),
        ("netlogon", 39) => ("NetrLogonSamLogonEx", Authenticate),
        ("netlogon", 45) => ("NetrLogonSamLogonWithFlags", Authenticate),
        // [MS-RRP] §3.1.5
        ("winreg", 0) => ("OpenClassesRoot", Session),
        ("winreg", 1) => ("OpenCurrentUser", Session),
        ("winreg", 2) => ("OpenLocalMachine", Session),
        ("winreg", 5) => ("BaseRegCloseKey", Session),
        ("winreg", 6) => ("BaseRegCreateKey", Configuration),
        ("winreg", 7) => ("BaseRegDeleteKey", Configuration),
        ("winreg", 8) => ("BaseRegDeleteValue", Configuration),
        ("winreg", 9) => ("BaseRegEnumKey", Read),
        ("winreg", 10) => ("BaseRegEnumValue", Read),
        ("winreg", 15) => ("BaseRegOpenKey", Session),
        ("winreg", 16) => ("BaseRegQueryInfoKey", Read),
        ("winreg", 17) => ("BaseRegQueryValue", Read),
        ("winreg", 22) => ("BaseRegSetValue", Configuration),
        ("winreg", 26) => ("BaseRegGetVersion", Read),
        // [MS-RPRN] §3.1.4
        ("spoolss", 1) => ("RpcOpenPrinter", Session),
        ("spoolss", 29) => ("RpcClosePrinter", Session),
        ("spoolss", 69) => ("RpcOpenPrinterEx", Session),
        ("spoolss", 89) => ("RpcAddPrinterDriverEx", Configuration),
        // [MS-TSCH] §3.2.5
        ("atsvc", 0) => ("NetrJobAdd", Configuration),
        ("atsvc", 1) => ("NetrJobDel", Configuration),
        ("atsvc", 2) => ("NetrJobEnum", Read),
        ("ITaskSchedulerService", 1) => ("SchRpcRegisterTask", Configuration),
        ("ITaskSchedulerService", 2) => ("SchRpcRetrieveTask", Read),
        ("ITaskSchedulerService", 12) => ("SchRpcRun", Control),
        ("ITaskSchedulerService", 13) => ("SchRpcDelete", Configuration),
        // [MS-DRSR] §4.1
        ("drsuapi", 0) => ("IDL_DRSBind", Session),
        ("drsuapi", 1) => ("IDL_DRSUnbind", Session),
        ("drsuapi", 3) => ("IDL_DRSGetNCChanges", Read),
        ("drsuapi", 12) => ("IDL_DRSCrackNames", Read),
        ("InitShutdown", 0) => ("BaseInitiateShutdown", Control), // [MS-RSP] §3.2.4
        ("InitShutdown", 2) => ("BaseInitiateShutdownEx", Control),
        // [MS-DCOM] §3.1.2.5
        ("IObjectExporter", 0) => ("ResolveOxid", Read),
        ("IObjectExporter", 1) => ("SimplePing", Session),
        ("IObjectExporter", 2) => ("ComplexPing", Session),
        ("IObjectExporter", 3) => ("ServerAlive", Diagnostics),
        ("IObjectExporter", 4) => ("ResolveOxid2", Read),
        ("IObjectExporter", 5) => ("ServerAlive2", Diagnostics),
        ("IRemoteSCMActivator", 3) => ("RemoteGetClassObject", Session),
        ("IRemoteSCMActivator", 4) => ("RemoteCreateInstance", Session),
        ("IActivation", 0) => ("RemoteActivation", Session),
        ("IRemUnknown" | "IRemUnknown2", 3) => ("RemQueryInterface", Session),
        ("IRemUnknown" | "IRemUnknown2", 4) => ("RemAddRef", Session),
        ("IRemUnknown" | "IRemUnknown2", 5) => ("RemRelease", Session),
        // OPC Data Access 2.05
        ("IOPCServer", 3) => ("AddGroup", Subscribe),
        ("IOPCServer", 4) => ("GetErrorString", Read),
        ("IOPCServer", 5) => ("GetGroupByName", Read),
        ("IOPCServer", 6) => ("GetStatus", Identify),
        ("IOPCServer", 7) => ("RemoveGroup", Subscribe),
        ("IOPCSyncIO", 3) => ("Read", Read),
        ("IOPCSyncIO", 4) => ("Write", Write),
        ("IOPCItemMgt", 3) => ("AddItems", Subscribe),
        ("IOPCItemMgt", 4) => ("ValidateItems", Read),
        ("IOPCItemMgt", 5) => ("RemoveItems", Subscribe),
        ("IOPCAsyncIO2", 3) => ("Read", Read),
        ("IOPCAsyncIO2", 4) => ("Write", Write),
        ("IOPCAsyncIO2", 5) => ("Refresh2", Read),
        ("IOPCDataCallback", 3) => ("OnDataChange", Subscribe),
        ("IOPCDataCallback", 4) => ("OnReadComplete", Read),
        ("IOPCDataCallback", 5) => ("OnWriteComplete", Write),
        // IEC 61158-6-10 §4.10.3
        ("PNIO-Device" | "PNIO-Controller", 0) => ("Connect", Session),
        ("PNIO-Device" | "PNIO-Controller", 1) => ("Release", Session),
        ("PNIO-Device" | "PNIO-Controller", 2) => ("Read", Read),
        ("PNIO-Device" | "PNIO-Controller", 3) => ("Write", Configuration),
        ("PNIO-Device" | "PNIO-Controller", 4) => ("Control", Session),
        ("PNIO-Device" | "PNIO-Controller", 5) => ("Read Implicit", Read),
        _ => ("unknown", Diagnostics),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_without_name_is_its_uuid() {
        assert_eq!("svcctl", interface("367abb81-9844-35f1-ad32-98f038001003"));
        let foreign = "00000000-0000-0000-0000-000000000001";
        assert_eq!(foreign, interface(foreign));
        assert_eq!(("unknown", Action::Diagnostics), method(foreign, 3));
    }

    #[test]
    fn uuids_are_written_one_way() {
        for (uuid, _) in INTERFACES {
            let shape: Vec<_> = uuid.split('-').map(str::len).collect();
            assert_eq!(vec![8, 4, 4, 4, 12], shape, "{uuid}");
            assert_eq!(uuid.to_lowercase(), *uuid);
        }
    }
}
