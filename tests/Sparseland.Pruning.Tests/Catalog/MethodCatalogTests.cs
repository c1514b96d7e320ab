using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Methods;
using Sparseland.Pruning.Recipes;
using Sparseland.Pruning.Structured;

namespace Sparseland.Pruning.Tests.Catalog;

public class MethodCatalogTests
{
    [Fact]
    public void Every_method_is_described_and_can_be_built_with_its_defaults()
    {
        Assert.Equal(MethodCatalog.All.Count, MethodCatalog.All.Select(m => m.Id).Distinct(StringComparer.OrdinalIgnoreCase).Count());
        foreach (MethodInfo method in MethodCatalog.All)
        {
            Assert.All((string[])[method.Id, method.Title, method.Paper, method.Section, method.Description], Assert.NotEmpty);
            Assert.Matches(@"(19|20)\d\d", method.Paper);
            Assert.All(method.Parameters, p => Assert.Equal(p.Normalize(p.Default), p.Normalize(p.Normalize(p.Default))));
            Sparsifier built = Recipe.Of(method.Id).CreateSparsifier(1000);
            Assert.Equal((method.Id, method.Stage), (built.Id, built.Stage));
            Assert.Equal(method.DefaultSparsity, built.Settings.Sparsity, 12);
        }
    }

    [Fact]
    public void Every_method_states_the_axes_of_the_taxonomy_and_they_agree()
    {
        foreach (MethodInfo method in MethodCatalog.All)
        {
            Assert.True(Enum.IsDefined(method.Stage) && Enum.IsDefined(method.Path) && Enum.IsDefined(method.MaskSource) && Enum.IsDefined(method.Object), method.Id);
            Assert.NotEmpty(method.Granularities);
            Assert.All(method.Granularities, g => Assert.True(Enum.IsDefined(g)));
            if (method.Connectivity is { } c) Assert.All((string[])[c.Drops, c.Grows, c.When, c.Until], Assert.NotEmpty);
            // What trains needs labels; what removes after training has been trained already; labels are part of data.
            if (method.Stage == PruningStage.During) Assert.True(method.Needs.HasFlag(CriterionNeeds.Labels), method.Id);
            if (method.Stage == PruningStage.After) Assert.NotEqual(TrainingPath.SparseToSparse, method.Path);
            if (method.Needs.HasFlag(CriterionNeeds.Labels)) Assert.True(method.Needs.HasFlag(CriterionNeeds.Data), method.Id);
            if (method.Needs.HasFlag(CriterionNeeds.DenseGradients)) Assert.True(method.Needs.HasFlag(CriterionNeeds.Gradients), method.Id);
        }
    }

    [Fact]
    public void Parameters_refuse_what_is_out_of_range()
    {
        MethodInfo gmp = MethodCatalog.Get("GMP");
        Assert.Equal("SL4002", Assert.Throws<PruningException>(() => gmp.Build(new PruningSettings(), new Dictionary<string, string> { ["interval"] = "0" }, 10)).Code);
        Assert.Equal("SL4002", Assert.Throws<PruningException>(() => gmp.Build(new PruningSettings(), new Dictionary<string, string> { ["start"] = "0.9" }, 1000)).Code);
        Assert.Contains("interval", Assert.Throws<PruningException>(() => gmp.Build(new PruningSettings(), new Dictionary<string, string> { ["intervall"] = "1" }, 10)).Try);
    }

    [Fact]
    public void A_value_that_another_makes_idle_is_refused_whatever_their_order()
    {
        foreach (MethodInfo method in MethodCatalog.All)
        {
            foreach (MethodParameter p in method.Parameters.Where(p => p.Only is not null))
            {
                MethodParameter other = method.Parameters.Single(o => o.Name == p.Only!.Parameter);
                Assert.All(p.Only!.Values, v => Assert.Contains(v, other.Choices));
                string idle = other.Choices.First(c => !p.Only.Values.Contains(c)), value = p.Min > 0 ? p.Normalize((p.Type == ParameterType.Integer ? p.Min + 1 : p.Min).ToString(System.Globalization.CultureInfo.InvariantCulture)) : "0";
                if (value == p.Default) value = "7";
                Recipe recipe = Recipe.Of(method.Id).With("parameters." + p.Name, value).With("parameters." + other.Name, idle);
                PruningException e = Assert.Throws<PruningException>(() => recipe.CreateSparsifier(1000));
                Assert.Equal("SL4002", e.Code);
                Assert.Contains(p.Name, e.Message);
                Assert.Contains(p.Only.Values[0], e.Try);
                Assert.NotNull(Recipe.Of(method.Id).With("parameters." + p.Name, value).With("parameters." + other.Name, p.Only.Values[0]).CreateSparsifier(1000));
                // The default does no harm anywhere: recipes of the documentation spell everything out.
                Assert.NotNull(Recipe.Of(method.Id).With("parameters." + p.Name, p.Default).With("parameters." + other.Name, idle).CreateSparsifier(1000));
            }
        }
        Assert.Contains(MethodCatalog.All.SelectMany(m => m.Parameters), p => p.Only is not null);
    }

    [Fact]
    public void Erdos_renyi_densities_can_be_softened_and_the_classifier_chosen()
    {
        int[] Kept(params (string, string)[] arguments)
        {
            var method = (OneShotSparsifier)MethodCatalog.Get("random").Build(new PruningSettings { Sparsity = 0.8, Bounds = Pruning.Allocations.LayerBounds.None }, arguments.ToDictionary(a => a.Item1, a => a.Item2));
            return [.. method.Apply(PruningTarget.Of(Make.Network())).Layers.Select(l => l.After)];
        }
        Assert.Equal(Kept(("allocation", "uniform")), Kept(("allocation", "erk"), ("power", "0")));
        Assert.NotEqual(Kept(("allocation", "erk")), Kept(("allocation", "erk"), ("power", "0.5")));
        Assert.Equal(160, Kept(("allocation", "erk+"))[^1]);
        Assert.Equal(80, Kept(("allocation", "erk+"), ("classifier", "50%"))[^1]);
    }

    [Fact]
    public void Channels_leave_through_the_catalogue_too()
    {
        var method = (ChannelPruning)Recipe.Of("channels").With("sparsity", "40%").With("parameters.multiple", "2").With("ignore", "conv3*").CreateSparsifier();
        StructuredResult result = method.Prune(Make.Network(width: 16));
        Assert.True(result.After.Macs <= result.Before.Macs * 0.6);
        Assert.Equal(32, result.Graph.Weights["conv3.weight"].Shape[0]);
        Assert.True(result.RemovedUnits > 0);
        Assert.Equal("SL4001", Assert.Throws<PruningException>(() => ((ChannelPruning)Recipe.Of("channels").With("ignore", "nothing*").CreateSparsifier()).Prune(Make.Network())).Code);
    }
}
