using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;
using System.Text.Json.Nodes;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Threading;

namespace Sparseland.Cli.Hosting;

/// <summary>What machine a figure was measured on.</summary>
/// <param name="Identity">The processor: its name for itself, and the numbers that tell it apart from others of that name.</param>
/// <param name="CacheBytes">Its caches.</param>
/// <param name="Cores">Logical processors that this process may use.</param>
/// <param name="Threads">Threads that the kernels use.</param>
/// <param name="SimdLevel">The instruction level in use.</param>
/// <param name="Instructions">Instruction sets that matter here and are present.</param>
/// <param name="MemoryBytes">Memory that this process may use.</param>
/// <param name="Runtime">The .NET runtime.</param>
/// <param name="System">The operating system.</param>
internal sealed record MachineInfo(
    ProcessorIdentity Identity, (int L1, int L2, int L3) CacheBytes, int Cores, int Threads, string SimdLevel, IReadOnlyList<string> Instructions, long MemoryBytes, string Runtime, string System)
{
    /// <summary>This machine, now.</summary>
    public static MachineInfo Current => new(
        ProcessorIdentity.Current,
        ProcessorIdentity.CacheBytes,
        Environment.ProcessorCount,
        WorkPool.Threads,
        SimdSupport.Level.ToString(),
        PresentInstructions(),
        GC.GetGCMemoryInfo().TotalAvailableMemoryBytes,
        RuntimeInformation.FrameworkDescription,
        $"{RuntimeInformation.OSDescription} {RuntimeInformation.OSArchitecture}");

    /// <summary>The processor's name as the system tells it: in a virtual machine often another one than CPUID's.</summary>
    public string Processor { get; } = SystemName() ?? Identity.Name;

    /// <summary>One line for people.</summary>
    public string Describe() =>
        $"{Identity with { Name = Processor }}{Caches()}, {Cores} cores ({Threads} threads used), {SimdLevel} ({string.Join(" ", Instructions)}), {MemoryBytes / 1e9:0.0} GB, {Runtime}, {System}";

    /// <summary>The same for <c>run.json</c> and <c>--json</c>.</summary>
    public JsonObject ToJson() => new()
    {
        ["processor"] = Processor,
        ["vendor"] = Identity.Vendor,
        ["family"] = Identity.Family,
        ["model"] = Identity.Model,
        ["stepping"] = Identity.Stepping,
        ["microarchitecture"] = Identity.Microarchitecture,
        ["cacheBytes"] = new JsonObject { ["l1"] = CacheBytes.L1, ["l2"] = CacheBytes.L2, ["l3"] = CacheBytes.L3 },
        ["cores"] = Cores,
        ["threads"] = Threads,
        ["simd"] = SimdLevel,
        ["instructions"] = new JsonArray([.. Instructions.Select(i => (JsonNode)i)]),
        ["memoryBytes"] = MemoryBytes,
        ["runtime"] = Runtime,
        ["system"] = System,
    };

    /// <summary>The caches that are a core's own; the third is often said for the whole socket.</summary>
    private string Caches() => CacheBytes is { L1: > 0, L2: > 0 } ? $", caches {CacheBytes.L1 >> 10} and {CacheBytes.L2 >> 10} KB" : "";

    private static string? SystemName()
    {
        try
        {
            const string Start = "model name";
            return OperatingSystem.IsLinux() && File.ReadLines("/proc/cpuinfo").FirstOrDefault(line => line.StartsWith(Start, StringComparison.Ordinal)) is { } line ? line[(line.IndexOf(':') + 1)..].Trim() : null;
        }
        catch (IOException)
        {
            // Not every container shows it.
            return null;
        }
    }

    private static string[] PresentInstructions()
    {
        (string, bool)[] known =
        [
            ("SSE4.2", Sse42.IsSupported), ("AVX2", Avx2.IsSupported), ("FMA", Fma.IsSupported), ("AVX-512F", Avx512F.IsSupported),
            ("AVX-512BW", Avx512BW.IsSupported), ("AVX-VNNI", AvxVnni.IsSupported), ("NEON", AdvSimd.IsSupported), ("DOTPROD", Dp.IsSupported),
        ];
        return [.. known.Where(k => k.Item2).Select(k => k.Item1)];
    }
}
