using Sparseland.Bench.Figures;
using Sparseland.Cli.Hosting;
using Sparseland.Kernels.Dense;

namespace Sparseland.Cli.Tests.Bench;

public class AttentionFigureTests
{
    public static TheoryData<string> FormNames => [.. AttentionFigure.Forms.Select(f => f.Name)];

    [Theory]
    [InlineData("tokens, causal", "causal tokens")]
    [InlineData("blocks,blocks", "blocks")]
    [InlineData("head-bias,shared-bias,causal,blocks,tokens", "causal blocks tokens shared-bias head-bias")]
    public void FormsAreMeasuredOnceAndInOneOrder(string list, string expected) => Assert.Equal(expected, string.Join(' ', Forms(list).Select(f => f.Name)));

    [Theory]
    [InlineData("blocks,dense")]
    [InlineData("")]
    public void AFormThatIsUnknownIsRefusedWithWhatThereIs(string list)
    {
        VerbException error = Assert.Throws<VerbException>(() => Forms(list));
        Assert.Contains("--forms", error.Message, StringComparison.Ordinal);
        Assert.Contains("causal, blocks, tokens, shared-bias, head-bias", error.Try, StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(FormNames))]
    public void AFormIsOnePassBesideTheDenseOne(string form)
    {
        foreach (bool backward in new[] { false, true })
        {
            var inputs = new AttentionFigure.Inputs(new Attention(1, 2, 2, 128, 128, 16), 0.5, backward, new Random(1));
            (string Name, Action Pass, string Same)[] passes = AttentionFigure.Passes(inputs, Forms(form), 0.5);
            Assert.Equal(2, passes.Length);
            Assert.Equal("dense", passes[0].Name);
            passes[0].Pass();
            float[] dense = inputs.Results();
            passes[1].Pass();
            // It hides something, so it is not the dense pass under another name.
            Assert.NotEqual(dense, inputs.Results());
        }
    }

    [Fact]
    public void FormsAndTheirVariantsAreNamedApart()
    {
        Assert.Distinct(AttentionFigure.Forms.Select(f => f.Name));
        Assert.Distinct(AttentionFigure.Forms.Select(f => f.Label(0.75)).Append("dense"));
    }

    [Fact]
    public void OnlyABiasPerHeadIsTooLargeForManyTokens()
    {
        Assert.All(AttentionFigure.Forms, f => Assert.True(f.Fits(12, 4096), f.Name));
        Assert.Equal("head-bias", Assert.Single(AttentionFigure.Forms, f => !f.Fits(12, 8192)).Name);
    }

    private static AttentionFigure.Form[] Forms(string list) => Figure.Selected(list, "--forms", AttentionFigure.Forms, f => f.Name);
}
