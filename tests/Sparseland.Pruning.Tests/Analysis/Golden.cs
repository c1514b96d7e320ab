using System.Text.Json;

namespace Sparseland.Pruning.Tests.Analysis;

/// <summary>Values of Golden/analysis.py (numpy 1.24.2); the script's text says by which routes they were found.</summary>
internal static class Golden
{
    public static JsonElement Data { get; } = Read();

    public static double[] Doubles(JsonElement array) => [.. array.EnumerateArray().Select(v => v.GetDouble())];

    public static float[] Singles(JsonElement array) => [.. array.EnumerateArray().Select(v => (float)v.GetDouble())];

    private static JsonElement Read()
    {
        using Stream stream = typeof(Golden).Assembly.GetManifestResourceStream("analysis.json")!;
        using var bytes = new MemoryStream();
        stream.CopyTo(bytes);
        Assert.Equal("c560ace1e58d55cffa9043698a2b68ad1c5e60cc2a7d642aadb9e36149407cc6", Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(bytes.ToArray())));
        return JsonDocument.Parse(bytes.ToArray()).RootElement.Clone();
    }
}
