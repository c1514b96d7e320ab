using System.Text.Json.Nodes;
using Sparseland.Bench;
using Sparseland.Cli.Hosting;

namespace Sparseland.Cli.Tests.Bench;

public class MeasureTests
{
    private static readonly (string, JsonObject)[] s_documents = [("gemm-1t.json", []), ("gemm-2t.json", []), ("spmm-a-1t.json", [])];

    [Theory]
    [InlineData("", "gemm-1t.json gemm-2t.json spmm-a-1t.json")]
    [InlineData("gemm", "gemm-1t.json gemm-2t.json")]
    [InlineData("spmm-a-1t gemm-2t", "gemm-2t.json spmm-a-1t.json")]
    public void NamesAreFilesOrTheirBeginnings(string names, string expected)
    {
        string[] words = names.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(expected, string.Join(' ', MeasureCommand.Choose(s_documents, words, "results").Select(d => d.File)));
    }

    [Fact]
    public void ANameThatFitsNothingIsRefusedWithWhatThereIs()
    {
        VerbException error = Assert.Throws<VerbException>(() => MeasureCommand.Choose(s_documents, ["gemm", "nets"], "results"));
        Assert.Contains("'nets'", error.Message, StringComparison.Ordinal);
        Assert.Contains("gemm-1t, gemm-2t, spmm-a-1t", error.Try, StringComparison.Ordinal);
        Assert.Contains("no figures", Assert.Throws<VerbException>(() => MeasureCommand.Choose([], [], "results")).Message, StringComparison.Ordinal);
    }
}
