using System.Runtime.InteropServices;

namespace Sparseland.Kernels.Dense;

/// <summary>Asks the system for pages of 2 MiB under memory that is read from begin to end again and again; Linux only, elsewhere nothing happens.</summary>
/// <remarks>
/// A product of one vector waits for memory, and with pages of 4 KiB every 64th line waits for a walk of the page table and for a hardware prefetcher that stops at the end of a page.
/// Where the system's policy for large pages is "madvise" or "always" (transparent huge pages), this moves what lies there already; where it is "never", or the memory is a file that cannot be moved, nothing changes.
/// </remarks>
public static unsafe partial class LargePages
{
    /// <summary>Bytes of a large page.</summary>
    public const int Bytes = 2 << 20;

    // Less than this is read too quickly for it to matter.
    private const int Least = Bytes / 16;

    // Since Linux 2.6.38 and 6.1: on older systems pages are moved later, in the background.
    private const int AdviseHugePage = 14, AdviseCollapse = 25;

    /// <summary>Asks for large pages under memory that stays where it is: for every page that it touches, from 128 KiB on. The matrices of a model are often smaller than a page and lie side by side.</summary>
    /// <remarks>Takes some tenths of a millisecond per page that has to be moved. Content does not change, and it is harmless when the memory is freed or moved later.</remarks>
    public static void Ask<T>(ReadOnlySpan<T> memory) where T : unmanaged
    {
        fixed (T* start = memory) Ask(start, (long)memory.Length * sizeof(T));
    }

    /// <summary>The same for memory at an address.</summary>
    internal static void Ask(void* start, long bytes)
    {
        if (!OperatingSystem.IsLinux()) return;
        if (bytes < Least) return;
        nint first = (nint)start & ~(nint)(Bytes - 1), end = (nint)((long)start + bytes + Bytes - 1) & ~(nint)(Bytes - 1);
        try
        {
            // Page by page: one that reaches beyond what is mapped is refused, and the others are not.
            for (; first < end; first += Bytes)
            {
                if (Advise(first, Bytes, AdviseHugePage) == 0) _ = Advise(first, Bytes, AdviseCollapse);
            }
        }
        catch (Exception e) when (e is DllNotFoundException or EntryPointNotFoundException)
        {
            // No C library of that name: pages stay as they are.
        }
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(nint address, nuint length, int advice);
}
