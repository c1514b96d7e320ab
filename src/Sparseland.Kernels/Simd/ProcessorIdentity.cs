using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using System.Text;

namespace Sparseland.Kernels.Simd;

/// <summary>Which processor this is, as it says itself by CPUID.</summary>
/// <remarks>
/// The name alone tells generations apart only where the maker put a number into it: virtual machines call a Zen 4 and a Zen 5 both "AMD EPYC", and what is measured on the one does not hold on the other.
/// AMD, "Architecture Programmer's Manual", volume 3, appendix E; Intel, "Software Developer's Manual", volume 2, CPUID.
/// </remarks>
/// <param name="Name">What it is called; the architecture where it does not say.</param>
/// <param name="Vendor">"AuthenticAMD", "GenuineIntel"; empty where it does not say, and the numbers are 0 then.</param>
/// <param name="Family">Its family, the extended one added.</param>
/// <param name="Model">Its model in the family, with the extended digits.</param>
/// <param name="Stepping">Its revision.</param>
public sealed record ProcessorIdentity(string Name, string Vendor, int Family, int Model, int Stepping)
{
    private const int Extended = unchecked((int)0x80000000), FirstName = unchecked((int)0x80000002), LastName = unchecked((int)0x80000004), AmdCaches = unchecked((int)0x8000001D), AmdOlderCaches = unchecked((int)0x80000005);

    /// <summary>This machine's.</summary>
    public static ProcessorIdentity Current { get; } = Read();

    /// <summary>The bytes of a core's caches, the first for data; 0 for a level that there is none of, or that is not known. The third may be shared with other cores and other machines.</summary>
    public static (int L1, int L2, int L3) CacheBytes { get; } = ReadCaches();

    /// <summary>The generation of cores, "Zen 5"; null where the numbers are none of those that are known here.</summary>
    public string? Microarchitecture => Vendor switch
    {
        "AuthenticAMD" => Amd(Family, Model),
        "GenuineIntel" when Family == 6 => Intel(Model, Stepping),
        _ => null,
    };

    /// <summary>The name with what tells it apart from others of that name: "AMD EPYC, Zen 5 (family 26, model 2)".</summary>
    public override string ToString()
    {
        if (Vendor.Length == 0) return Name;
        return $"{Name}{(Microarchitecture is { } cores ? $", {cores}" : "")} (family {Family}, model {Model})";
    }

    // As the Linux kernel groups them (arch/x86/kernel/cpu/amd.c).
    private static string? Amd(int family, int model) => (family, model) switch
    {
        (23, <= 0x2F or (>= 0x50 and <= 0x5F)) => "Zen",
        (23, (>= 0x30 and <= 0x4F) or (>= 0x60 and <= 0x7F) or 0x90 or 0x91 or (>= 0xA0 and <= 0xAF)) => "Zen 2",
        (25, <= 0x0F or (>= 0x20 and <= 0x5F)) => "Zen 3",
        (25, (>= 0x10 and <= 0x1F) or (>= 0x60 and <= 0xAF)) => "Zen 4",
        (26, <= 0x2F or (>= 0x40 and <= 0x4F) or (>= 0x60 and <= 0x7F)) => "Zen 5",
        _ => null,
    };

    // arch/x86/include/asm/intel-family.h there.
    private static string? Intel(int model, int stepping) => model switch
    {
        0x3C or 0x3F or 0x45 or 0x46 => "Haswell",
        0x3D or 0x47 or 0x4F or 0x56 => "Broadwell",
        0x4E or 0x5E => "Skylake",
        0x55 => stepping switch { >= 10 => "Cooper Lake", >= 5 => "Cascade Lake", _ => "Skylake-X" },
        0x6A or 0x6C or 0x7D or 0x7E => "Ice Lake",
        0x8C or 0x8D => "Tiger Lake",
        0x8F => "Sapphire Rapids",
        0x8E or 0x9E => "Kaby Lake",
        0x97 or 0x9A => "Alder Lake",
        0xAD or 0xAE => "Granite Rapids",
        0xB7 or 0xBA or 0xBF => "Raptor Lake",
        0xCF => "Emerald Rapids",
        _ => null,
    };

    private static ProcessorIdentity Read()
    {
        if (!X86Base.IsSupported) return new ProcessorIdentity(RuntimeInformation.ProcessArchitecture.ToString(), "", 0, 0, 0);
        (int _, int first, int third, int second) = X86Base.CpuId(0, 0);
        var vendor = new StringBuilder();
        Append(vendor, [first, second, third]);
        int signature = X86Base.CpuId(1, 0).Eax;
        (int family, int model) = Numbers(signature);
        var name = new StringBuilder();
        if ((uint)X86Base.CpuId(Extended, 0).Eax >= unchecked((uint)LastName))
        {
            for (int leaf = FirstName; leaf <= LastName; leaf++)
            {
                (int a, int b, int c, int d) = X86Base.CpuId(leaf, 0);
                Append(name, [a, b, c, d]);
            }
        }
        string called = name.ToString().Trim();
        return new ProcessorIdentity(called.Length > 0 ? called : RuntimeInformation.ProcessArchitecture.ToString(), vendor.ToString(), family, model, signature & 0xF);
    }

    /// <summary>Family and model of a signature (leaf 1, EAX): extended fields count from family 15 on, and Intel's model also in family 6.</summary>
    internal static (int Family, int Model) Numbers(int signature)
    {
        int family = signature >> 8 & 0xF, model = signature >> 4 & 0xF;
        if (family is 6 or 15) model += (signature >> 16 & 0xF) << 4;
        if (family == 15) family += signature >> 20 & 0xFF;
        return (family, model);
    }

    private static (int, int, int) ReadCaches()
    {
        if (!X86Base.IsSupported) return default;
        uint lastExtended = (uint)X86Base.CpuId(Extended, 0).Eax;
        Span<int> bytes = stackalloc int[4];
        foreach (int leaf in (ReadOnlySpan<int>)[AmdCaches, 4])
        {
            if (leaf == 4 ? X86Base.CpuId(0, 0).Eax < 4 : lastExtended < unchecked((uint)leaf)) continue;
            for (int i = 0; i < 16 && Cache(X86Base.CpuId(leaf, i)) is var (level, size); i++)
            {
                if (level is >= 1 and <= 3 && size <= int.MaxValue) bytes[level] = (int)size;
            }
            if (bytes[1] > 0) return (bytes[1], bytes[2], bytes[3]);
        }
        // Hypervisors leave those lists empty; AMD's older leaves are filled still: kilobytes, and half megabytes for the third level, which is the whole socket's there.
        if (lastExtended < unchecked((uint)AmdOlderCaches + 1)) return default;
        (int _, int _, int first, int _) = X86Base.CpuId(AmdOlderCaches, 0);
        (int _, int _, int second, int third) = X86Base.CpuId(AmdOlderCaches + 1, 0);
        return ((first >>> 24) << 10, (second >>> 16) << 10, (int)Math.Min(int.MaxValue, (long)(third >>> 18) << 19));
    }

    /// <summary>Level and bytes of a cache in the form that both makers use; level 0 for one of instructions; null at the end of the list.</summary>
    internal static (int Level, long Bytes)? Cache((int A, int B, int C, int D) registers)
    {
        const int None = 0, Instructions = 2;
        (int a, int b, int c, int _) = registers;
        int kind = a & 0x1F;
        if (kind == None) return null;
        long line = (b & 0xFFF) + 1, partitions = (b >> 12 & 0x3FF) + 1, ways = (b >> 22 & 0x3FF) + 1, sets = (long)(uint)c + 1;
        return (kind == Instructions ? 0 : a >> 5 & 7, line * partitions * ways * sets);
    }

    private static void Append(StringBuilder text, ReadOnlySpan<int> registers)
    {
        foreach (int four in registers)
        {
            for (int shift = 0; shift < 32; shift += 8)
            {
                if ((four >> shift & 0xFF) is > 0 and < 0x80 and int letter) text.Append((char)letter);
            }
        }
    }
}
