using Sparseland.Bench.Figures;
using Sparseland.Cli.Hosting;

namespace Sparseland.Cli.Tests.Bench;

public class AttentionFigureTests
{
    private static readonly string[] s_all = ["causal", "blocks", "tokens"];

    [Theory]
    [InlineData("tokens, causal", "causal tokens")]
    [InlineData("blocks,blocks", "blocks")]
    [InlineData("causal,blocks,tokens", "causal blocks tokens")]
    public void FormsAreMeasuredOnceAndInOneOrder(string list, string expected) => Assert.Equal(expected, string.Join(' ', AttentionFigure.Chosen(list, s_all, "--forms")));

    [Theory]
    [InlineData("blocks,dense")]
    [InlineData("")]
    public void AFormThatIsUnknownIsRefusedWithWhatThereIs(string list)
    {
        VerbException error = Assert.Throws<VerbException>(() => AttentionFigure.Chosen(list, s_all, "--forms"));
        Assert.Contains("--forms", error.Message, StringComparison.Ordinal);
        Assert.Contains("causal, blocks, tokens", error.Try, StringComparison.Ordinal);
    }
}
