using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;
using System.Text.Json.Nodes;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Threading;

namespace Sparseland.Cli.Hosting;

/// <summary>What machine a figure was measured on.</summary>
/// <param name="Processor">The CPU's name as the system tells it.</param>
/// <param name="Cores">Logical processors that this process may use.</param>
/// <param name="Threads">Threads that the kernels use.</param>
/// <param name="SimdLevel">The instruction level in use.</param>
/// <param name="Instructions">Instruction sets that matter here and are present.</param>
/// <param name="MemoryBytes">Memory that this process may use.</param>
/// <param name="Runtime">The .NET runtime.</param>
/// <param name="System">The operating system.</param>
internal sealed record MachineInfo(
    string Processor, int Cores, int Threads, string SimdLevel, IReadOnlyList<string> Instructions, long MemoryBytes, string Runtime, string System)
{
    /// <summary>This machine, now.</summary>
    public static MachineInfo Current => new(
        ProcessorName(),
        Environment.ProcessorCount,
        WorkPool.Threads,
        SimdSupport.Level.ToString(),
        PresentInstructions(),
        GC.GetGCMemoryInfo().TotalAvailableMemoryBytes,
        RuntimeInformation.FrameworkDescription,
        $"{RuntimeInformation.OSDescription} {RuntimeInformation.OSArchitecture}");

    /// <summary>One line for people.</summary>
    public string Describe() =>
        $"{Processor}, {Cores} cores ({Threads} threads used), {SimdLevel} ({string.Join(" ", Instructions)}), {MemoryBytes / 1e9:0.0} GB, {Runtime}, {System}";

    /// <summary>The same for <c>run.json</c> and <c>--json</c>.</summary>
    public JsonObject ToJson() => new()
    {
        ["processor"] = Processor,
        ["cores"] = Cores,
        ["threads"] = Threads,
        ["simd"] = SimdLevel,
        ["instructions"] = new JsonArray([.. Instructions.Select(i => (JsonNode)i)]),
        ["memoryBytes"] = MemoryBytes,
        ["runtime"] = Runtime,
        ["system"] = System,
    };

    private static string ProcessorName()
    {
        try
        {
            if (OperatingSystem.IsLinux())
            {
                foreach (string line in File.ReadLines("/proc/cpuinfo"))
                {
                    if (line.StartsWith("model name", StringComparison.Ordinal)) return line[(line.IndexOf(':') + 1)..].Trim();
                }
            }
        }
        catch (IOException)
        {
            // Not every container shows /proc/cpuinfo; the architecture below is then all there is to say.
        }
        return Environment.GetEnvironmentVariable("PROCESSOR_IDENTIFIER") ?? RuntimeInformation.ProcessArchitecture.ToString();
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
