using System.Runtime.InteropServices;

namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>Machine code that was written once and can be called, never written again; freed when nobody holds it.</summary>
/// <remarks>The garbage collector is told of its size: code of some megabytes hangs on objects of some bytes, and sessions that come and go would pile it up.</remarks>
internal sealed unsafe partial class ExecutableMemory : SafeHandle
{
    private const int ProtectRead = 1, ProtectWrite = 2, ProtectExecute = 4, PrivateAnonymous = 0x22, Populate = 0x8000, AdviseHugePages = 14;
    private const int HugePage = 2 << 20;

    private static readonly Lazy<bool> s_works = new(Probe);
    private static long s_bytesAlive;
    private readonly nuint _length;

    private ExecutableMemory(nint address, nuint length) : base(0, ownsHandle: true)
    {
        SetHandle(address);
        _length = length;
        Interlocked.Add(ref s_bytesAlive, (long)length);
        GC.AddMemoryPressure((long)length);
    }

    /// <summary>Bytes of all code of this process that was not freed yet.</summary>
    public static long BytesAlive => Interlocked.Read(ref s_bytesAlive);

    /// <summary>Whether this process may make memory executable: 64-bit x86 under Linux, unless the system forbids it.</summary>
    public static bool Works => s_works.Value;

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <summary>The first byte; at a page boundary.</summary>
    public nint Address => handle;

    /// <summary>Copies code into memory of its own; null when the system refuses.</summary>
    public static ExecutableMemory? TryCreate(ReadOnlySpan<byte> code)
    {
        if (!(OperatingSystem.IsLinux() && RuntimeInformation.ProcessArchitecture == Architecture.X64)) return null;
        // Code is read in order, a page of 4 KiB lasts some hundred multiply-adds: larger pages save walks of the page table.
        bool large = code.Length >= HugePage / 2;
        nuint length = large ? ((nuint)code.Length + HugePage - 1) & ~(nuint)(HugePage - 1) : (nuint)Math.Max(code.Length, 1);
        nint address = Map(0, large ? length + HugePage : length, ProtectRead | ProtectWrite, large ? PrivateAnonymous : PrivateAnonymous | Populate, -1, 0);
        if (address == -1) return null;
        if (large)
        {
            nint aligned = (address + HugePage - 1) & ~(nint)(HugePage - 1);
            if (aligned > address) _ = Unmap(address, (nuint)(aligned - address));
            if (aligned < address + HugePage) _ = Unmap(aligned + (nint)length, (nuint)(address + HugePage - aligned));
            address = aligned;
            _ = Advise(address, length, AdviseHugePages);
        }
        var memory = new ExecutableMemory(address, length);
        code.CopyTo(new Span<byte>((void*)address, code.Length));
        if (Protect(address, length, ProtectRead | ProtectExecute) == 0) return memory;
        memory.Dispose();
        return null;
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        GC.RemoveMemoryPressure((long)_length);
        Interlocked.Add(ref s_bytesAlive, -(long)_length);
        return Unmap(handle, _length) == 0;
    }

    private static bool Probe()
    {
        try
        {
            // ret
            using ExecutableMemory? memory = TryCreate([0xC3]);
            if (memory is null) return false;
            ((delegate* unmanaged<void>)memory.Address)();
            return true;
        }
        catch (Exception e) when (e is DllNotFoundException or EntryPointNotFoundException)
        {
            return false;
        }
    }

    [LibraryImport("libc", EntryPoint = "mmap")]
    private static partial nint Map(nint address, nuint length, int protection, int flags, int file, nint offset);

    [LibraryImport("libc", EntryPoint = "munmap")]
    private static partial int Unmap(nint address, nuint length);

    [LibraryImport("libc", EntryPoint = "mprotect")]
    private static partial int Protect(nint address, nuint length, int protection);

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(nint address, nuint length, int advice);
}
